/** How a session with a peer can fail before or instead of a reply. */
export type PeerFaultKind =
  /** No connection came about. */
  | 'connect'
  /** The peer said nothing, or read nothing, in time. */
  | 'timeout'
  /** The peer ended the connection. */
  | 'closed'
  /** The handshake failed, or the certificate is not the one that the policy asks for. */
  | 'tls'
  /** What it sent is not SMTP. */
  | 'protocol';

export class PeerFault extends Error {
  override readonly name = 'PeerFault';
  readonly kind: PeerFaultKind;
  /** RFC 8460 section 4.3, where it is about TLS. */
  readonly tlsResult: string | null;

  constructor(kind: PeerFaultKind, message: string, options: { cause?: unknown; tlsResult?: string } = {}) {
    super(message, { cause: options.cause });
    this.kind = kind;
    this.tlsResult = options.tlsResult ?? null;
  }
}

/** The system's word for it, without the address that it adds: `ECONNREFUSED`. */
export function systemCode(error: unknown): string {
  const { code, name } = error as { readonly code?: unknown; readonly name?: unknown };
  if (typeof code === 'string') return code;
  return typeof name === 'string' ? name : 'unknown error';
}
