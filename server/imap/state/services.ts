import type { Clock } from '#shared/base/clock.ts';
import { defaultMaxMessageBytes } from '#shared/base/limits.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { Metrics } from '#shared/observe/metrics.ts';
import type { Authenticator } from '#server/accounts/authenticator.ts';
import type { ChangeFeed, MailStore, SpooledMessage } from '#server/mail/ports.ts';
import type { TlsContext } from '#server/wire/tls-context.ts';

/** Takes the message of an APPEND; `finish` refuses with too-big or storage-full, `write` never does. */
interface MessageSpool extends AsyncDisposable {
  /** Null: taken at once. */
  write(chunk: Buffer): Promise<void> | null;
  finish(): Promise<SpooledMessage>;
}

/** Everything IMAP sessions need from the rest of the program. */
export type ImapServices = {
  readonly store: MailStore;
  readonly feed: ChangeFeed;
  readonly authenticator: Authenticator;
  /** Null: STARTTLS is not offered. */
  readonly tls: TlsContext | null;
  readonly createSpool: (maxBytes: number) => MessageSpool;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly policy: ImapPolicy;
};

export type ImapPolicy = {
  /** Passwords are taken without TLS: only for development. */
  readonly allowCleartextLogin: boolean;
  /** Bytes of a message that APPEND takes. */
  readonly maxMessageBytes: number;
  /** From the connection to the end of the login, in ms. */
  readonly loginTimeoutMs: number;
  /** Silence of a client that is logged in; RFC 3501 section 5.4 wants 30 minutes at least, in ms. */
  readonly idleTimeoutMs: number;
  /** Silence in the middle of a message or of what was asked for, in ms. */
  readonly transferTimeoutMs: number;
  /** Wrong passwords before the connection is closed. */
  readonly maxFailedLogins: number;
  /** Before the first wrong password is answered, in ms; doubled for each that follows. */
  readonly failedLoginDelayMs: number;
};

export const defaultImapPolicy: ImapPolicy = {
  allowCleartextLogin: false,
  maxMessageBytes: defaultMaxMessageBytes,
  loginTimeoutMs: 3 * 60_000,
  idleTimeoutMs: 30 * 60_000,
  transferTimeoutMs: 5 * 60_000,
  maxFailedLogins: 3,
  failedLoginDelayMs: 1_000,
};
