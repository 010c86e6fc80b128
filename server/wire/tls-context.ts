import { X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';

/** PEM: the certificate with its chain, and its private key. */
export type TlsMaterial = { readonly certificate: string | Buffer; readonly privateKey: string | Buffer };

/** A certificate for clients that ask for one of these names (SNI, RFC 6066 section 3). */
export type NamedMaterial = {
  /** In lower case; one may begin with "*.", which stands for one label. */
  readonly names: readonly string[];
  /** For clients that ask for no name, or for one that none has. */
  readonly isDefault: boolean;
  readonly material: TlsMaterial;
};

/** Whether our own certificate comes before those that are given by name, or only where none of them is for a client. */
export type OwnCertificate = 'first' | 'last';

/** Bytes of the keys that seal session tickets: a name, one to authenticate and one to encrypt with, 16 each. */
export const ticketKeysBytes = 48;

/** How long a client may resume a session, in seconds: it then shows a ticket and the server signs nothing. */
const sessionSeconds = 3600;

/**
 * The certificates that listeners show, replaceable while they run: connections made before keep theirs.
 * TLS 1.2 and above only (RFC 8996).
 */
export class TlsContext {
  readonly #own: OwnCertificate;
  #material: TlsMaterial;
  #ticketKeys: Buffer | null;
  #ownContext: SecureContext;
  #ownCertificate: X509Certificate;
  /** By name: those of defaults, then all others. */
  #named: readonly ReadonlyMap<string, TlsMaterial>[] = [];
  #default: TlsMaterial | null = null;
  /** Made when a client first asks: a server may have hundreds of them. */
  #contexts = new WeakMap<TlsMaterial, SecureContext>();

  /**
   * `ticketKeys` (48 bytes) are shared with whoever is to resume our sessions; null: nobody else can. Throws what
   * OpenSSL says where the key or the certificate can't be read or don't belong together.
   */
  constructor(material: TlsMaterial, ticketKeys: Buffer | null = null, own: OwnCertificate = 'first') {
    this.#own = own;
    this.#ownContext = secureContext(material, ticketKeys);
    this.#ownCertificate = new X509Certificate(material.certificate);
    this.#material = material;
    this.#ticketKeys = ticketKeys;
  }

  /** For a client that asks for no name. */
  get current(): SecureContext {
    return this.#own === 'last' && this.#default ? this.#contextOf(this.#default) : this.#ownContext;
  }

  /** There are clients who see our own; a default of another's takes them all. */
  get isOwnInUse(): boolean {
    return this.#own === 'first' || this.#default === null;
  }

  /** Our own. */
  get material(): TlsMaterial {
    return this.#material;
  }

  /** For a client that asks for `name`. */
  forName(name: string): SecureContext {
    if (this.#own === 'first' && this.#ownCertificate.checkHost(name) !== undefined) return this.#ownContext;
    const material = this.#find(name.toLowerCase());
    return material ? this.#contextOf(material) : this.current;
  }

  /** Throws as the constructor does, and then keeps what it had. */
  replace(material: TlsMaterial, ticketKeys: Buffer | null = null): void {
    this.#ownContext = secureContext(material, ticketKeys);
    this.#ownCertificate = new X509Certificate(material.certificate);
    this.#material = material;
    if (ticketKeys === this.#ticketKeys || (ticketKeys && this.#ticketKeys?.equals(ticketKeys))) return;
    this.#ticketKeys = ticketKeys;
    this.#contexts = new WeakMap();
  }

  /**
   * Takes these instead of those before. Of two for one name the default counts, so that the owner of a domain can't
   * stand in for the server; else the first. Each must have passed `assertUsable`; the same object stands for the same
   * certificate.
   */
  replaceNamed(all: readonly NamedMaterial[]): void {
    this.#named = [all.filter(({ isDefault }) => isDefault), all.filter(({ isDefault }) => !isDefault)].map(byName);
    this.#default = all.find(({ isDefault }) => isDefault)?.material ?? null;
  }

  #find(name: string): TlsMaterial | undefined {
    const wildcard = name.replace(/^[^.]+/, '*');
    return this.#named.map((named) => named.get(name) ?? named.get(wildcard)).find((found) => found !== undefined);
  }

  #contextOf(material: TlsMaterial): SecureContext {
    const known = this.#contexts.get(material);
    if (known) return known;
    const made = secureContext(material, this.#ticketKeys);
    this.#contexts.set(material, made);
    return made;
  }
}

function byName(all: readonly NamedMaterial[]): ReadonlyMap<string, TlsMaterial> {
  const named = new Map<string, TlsMaterial>();
  for (const { names, material } of all) {
    for (const name of names) if (!named.has(name)) named.set(name, material);
  }
  return named;
}

/** Throws what OpenSSL says where the key or the certificate can't be read or don't belong together. */
export function assertUsable(material: TlsMaterial): void {
  secureContext(material, null);
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
