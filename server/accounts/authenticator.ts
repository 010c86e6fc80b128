import type { AccountId } from '#shared/base/ids.ts';

/** Who asks, for the log, the metrics and later the throttle. */
export type LoginAttempt = {
  /** Full address, or a login name; compared without ASCII case. */
  readonly login: string;
  readonly password: string;
  readonly protocol: 'imap' | 'submission';
  readonly mechanism: 'PLAIN' | 'LOGIN';
  readonly remoteAddress: string;
};

export type LoginOutcome =
  | { readonly ok: true; readonly accountId: AccountId; readonly address: string }
  /** The peer hears the same for every reason. */
  | { readonly ok: false; readonly reason: 'no-such-account' | 'wrong-password' | 'suspended' };

/** Counts every attempt in the metrics. Throws MailError unavailable when the directory can't be read: the peer hears "later", never "wrong". */
export interface Authenticator {
  authenticate(attempt: LoginAttempt): Promise<LoginOutcome>;
}
