import { createSecureContext, type SecureContext } from 'node:tls';

/** PEM: the certificate with its chain, and its private key. */
export type TlsMaterial = { readonly certificate: string | Buffer; readonly privateKey: string | Buffer };

/**
 * The certificate that listeners show, replaceable while they run: connections made before keep theirs.
 * TLS 1.2 and above only (RFC 8996).
 */
export class TlsContext {
  #material: TlsMaterial;
  #secureContext: SecureContext;

  /** Throws what OpenSSL says where the key or the certificate can't be read or don't belong together. */
  constructor(material: TlsMaterial) {
    this.#secureContext = secureContext(material);
    this.#material = material;
  }

  get current(): SecureContext {
    return this.#secureContext;
  }

  get material(): TlsMaterial {
    return this.#material;
  }

  /** Throws as the constructor does, and then keeps what it had. */
  replace(material: TlsMaterial): void {
    this.#secureContext = secureContext(material);
    this.#material = material;
  }
}

function secureContext(material: TlsMaterial): SecureContext {
  return createSecureContext({
    cert: material.certificate,
    key: material.privateKey,
    minVersion: 'TLSv1.2',
    honorCipherOrder: true,
  });
}
