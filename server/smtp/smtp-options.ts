import { defaultMaxMessageBytes, maxRecipients } from '#shared/base/limits.ts';
import type { ClientFront } from '#server/wire/client-front.ts';

/** What may differ between two listeners, and between two installations. */
export type SmtpOptions = {
  /** Names the listener in the log and the metrics: `mx`, `submission`, `submissions`. */
  readonly name: string;
  /**
   * `mx` takes mail for our own domains from anyone (port 25); `submission` takes it from our users (ports 587 and
   * 465, RFC 6409, RFC 8314).
   */
  readonly kind: 'mx' | 'submission';
  readonly tls: 'starttls' | 'implicit';
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Our name in the greeting and in Received. */
  readonly hostname: string;
  /** Who gets mail to <postmaster> without a domain; where nobody does, the directory's postmaster. */
  readonly postmaster: string;
  /** Mail is taken without AUTH on every port, and AUTH is offered on every port, in clear too. */
  readonly developmentMode: boolean;
  /** True: CRLF is made of a lone CR or LF and NULs are dropped; false: such messages are refused. */
  readonly normaliseLineEndings: boolean;
  readonly maxMessageBytes: number;
  readonly maxRecipients: number;
  readonly maxConnections: number;
  /** For one IPv4 address or one IPv6 /64 network. */
  readonly maxConnectionsPerAddress: number;
  /** Commands a connection may send before a message is accepted, and between two. */
  readonly maxCommands: number;
  /** Permanent refusals of a connection; then it is closed. Wrong passwords weigh four times. */
  readonly maxErrors: number;
  /** How long a client may be silent; RFC 5321 section 4.5.3.2.7 asks for five minutes at least. */
  readonly idleTimeoutMs: number;
  /** How long one message may take from DATA to its end. */
  readonly dataTimeoutMs: number;
  readonly handshakeTimeoutMs: number;
  /**
   * How long the greeting waits, to catch senders who talk first (RFC 5321 section 4.3.1). 0: it goes at once and
   * nobody is caught. It holds up every connection, so it is off unless asked for.
   */
  readonly greetingDelayMs: number;
  readonly front: ClientFront | null;
};

export const defaultSmtpOptions = {
  developmentMode: false,
  normaliseLineEndings: false,
  maxMessageBytes: defaultMaxMessageBytes,
  maxRecipients,
  maxConnections: 1000,
  maxConnectionsPerAddress: 100,
  maxCommands: 3000,
  maxErrors: 20,
  idleTimeoutMs: 5 * 60_000,
  dataTimeoutMs: 60 * 60_000,
  handshakeTimeoutMs: 30_000,
  greetingDelayMs: 0,
  front: null,
} as const satisfies Partial<SmtpOptions>;

/** Who must or may log in. Without a protected connection nobody can, development mode apart. */
export function authenticationOf(
  options: Pick<SmtpOptions, 'kind' | 'developmentMode'>,
): 'none' | 'optional' | 'required' {
  if (options.developmentMode) return 'optional';
  return options.kind === 'mx' ? 'none' : 'required';
}
