import { createSecureContext, type SecureContext } from 'node:tls';

/** PEM: the certificate with its chain, and its private key. */
export type TlsMaterial = { readonly certificate: string | Buffer; readonly privateKey: string | Buffer };

/** Bytes of the keys that seal session tickets: a name, one to authenticate and one to encrypt with, 16 each. */
export const ticketKeysBytes = 48;

/** How long a client may resume a session, in seconds: it then shows a ticket and the server signs nothing. */
const sessionSeconds = 3600;

/**
 * The certificate that listeners show, replaceable while they run: connections made before keep theirs.
 * TLS 1.2 and above only (RFC 8996).
 */
export class TlsContext {
  #material: TlsMaterial;
  #secureContext: SecureContext;

  /**
   * `ticketKeys` (48 bytes) are shared with whoever is to resume our sessions; null: nobody else can. Throws what
   * OpenSSL says where the key or the certificate can't be read or don't belong together.
   */
  constructor(material: TlsMaterial, ticketKeys: Buffer | null = null) {
    this.#secureContext = secureContext(material, ticketKeys);
    this.#material = material;
  }

  get current(): SecureContext {
    return this.#secureContext;
  }

  get material(): TlsMaterial {
    return this.#material;
  }

  /** Throws as the constructor does, and then keeps what it had. */
  replace(material: TlsMaterial, ticketKeys: Buffer | null = null): void {
    this.#secureContext = secureContext(material, ticketKeys);
    this.#material = material;
  }
}

function secureContext(material: TlsMaterial, ticketKeys: Buffer | null): SecureContext {
  return createSecureContext({
    cert: material.certificate,
    key: material.privateKey,
    minVersion: 'TLSv1.2',
    honorCipherOrder: true,
    sessionTimeout: sessionSeconds,
    ...(ticketKeys !== null && { ticketKeys }),
  });
}
