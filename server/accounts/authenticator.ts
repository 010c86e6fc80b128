import type { AccountId } from '#shared/base/ids.ts';
import type { ScramHash, ScramKeys } from '#server/sasl/scram-proof.ts';

/** Who asks, for the log, the metrics and later the throttle. */
type Attempt = {
  /** Full address, or a login name; compared without ASCII case. */
  readonly login: string;
  readonly protocol: 'imap' | 'submission';
  readonly remoteAddress: string;
};

export type LoginAttempt = Attempt & {
  readonly password: string;
  readonly mechanism: 'PLAIN' | 'LOGIN';
};

export type LoginOutcome =
  | { readonly ok: true; readonly accountId: AccountId; readonly address: string }
  /** A login that may hand in mail and nothing else; `address` is its name. Over the protocol `submission` alone. */
  | { readonly ok: true; readonly accountId: null; readonly credentialId: bigint; readonly address: string }
  /** The peer hears the same for every reason. */
  | { readonly ok: false; readonly reason: 'no-such-account' | 'wrong-password' | 'bad-token' | 'suspended' };

/** Counts every attempt in the metrics. Throws MailError unavailable when the directory can't be read: the peer hears "later", never "wrong". */
export interface Authenticator {
  authenticate(attempt: LoginAttempt): Promise<LoginOutcome>;
  readonly further: FurtherMechanisms;
}

/** Logins that send no password; null: not offered. */
export type FurtherMechanisms = { readonly scram: ScramLogins | null; readonly tokens: TokenLogins | null };

export const noFurtherMechanisms: FurtherMechanisms = { scram: null, tokens: null };

export type ScramAttempt = Attempt & { readonly mechanism: string; readonly hash: ScramHash };

/** One SCRAM exchange, between the client's first message and its proof. */
export interface ScramExchange {
  /**
   * Those of each password that works, all with one salt and one number of iterations. For a name that nobody has: made
   * up, the same at each try, and no proof is right for them.
   */
  readonly keys: readonly [ScramKeys, ...ScramKeys[]];
  /** What the exchange has come to; `proven`: of `keys`, those whose password the client knows, null: none. */
  settle(proven: ScramKeys | null): LoginOutcome;
}

/** Counts as `Authenticator` does, and throws as it does. */
export interface ScramLogins {
  begin(attempt: ScramAttempt): Promise<ScramExchange>;
}

export type TokenAttempt = Attempt & { readonly mechanism: 'OAUTHBEARER' | 'XOAUTH2'; readonly token: string };

/** Counts as `Authenticator` does; throws MailError unavailable too while the issuer's keys can't be had. */
export interface TokenLogins {
  /** Where a client learns whom to ask for a token (RFC 8414); null: it must know. */
  readonly configuration: string | null;
  /** `login` may be empty: the token says who it is. Where it is not, it must lead to the token's account. */
  authenticate(attempt: TokenAttempt): Promise<LoginOutcome>;
}
