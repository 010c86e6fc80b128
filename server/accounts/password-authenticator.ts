/**
 * Logins with a password, against the directory. It must not know a protocol or a table. Invariants: the account
 * is read at each login; wrong names cost as much time as wrong passwords; a password is nowhere kept or logged.
 */
import { availableParallelism } from 'node:os';
import type { Clock } from '#shared/base/clock.ts';
import type { Keyring } from '#shared/directory/keyring.ts';
import type { AccountId } from '#shared/base/ids.ts';
import { isUsername } from '#shared/directory/logins.ts';
import type {
  CredentialKey,
  LoginCredential,
  LoginDirectory,
  ScramDirectory,
  SubmissionLogin,
} from '#shared/directory/logins.ts';
import { hashPassword, needsRehash, verifyPassword } from '#shared/directory/password.ts';
import type { PasswordOrigin } from '#shared/directory/password.ts';
import { preparePassword } from '#shared/directory/prepare-password.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { Metrics } from '#shared/observe/metrics.ts';
import type { Authenticator, FurtherMechanisms, LoginAttempt, LoginOutcome } from './authenticator.ts';
import { countAttempt } from './count-attempt.ts';
import { LastUse } from './last-use.ts';
import { NetworkTurns } from './network-turns.ts';
import { createScramLogins, decoyOrigin } from './scram-logins.ts';
import { createTokenLogins, type TokenIssuer } from './token-logins.ts';
import { VerifiedLogins } from './verified-logins.ts';

export type AuthenticatorOptions = {
  readonly directory: LoginDirectory;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'loginCache' | 'authAttempts'>;
  /** Any password opens any name of a domain of ours; its account is made at the first login. */
  readonly developmentMode: boolean;
  /** Null: SCRAM is not offered. It never is in development mode, where no password is looked at. */
  readonly scram?: { readonly directory: ScramDirectory; readonly keyring: Keyring } | null;
  /** Whose access tokens open accounts; null: nobody's. */
  readonly issuer?: TokenIssuer | null;
};

/**
 * Passwords that are looked at together: two, but never all processors, so that mail goes on while somebody guesses.
 * What waits, waits here, where it is fair, and not for the hashes' own turns (shared/directory/turns.ts).
 */
const atOnce = Math.max(1, Math.min(2, availableParallelism() - 1));

/** To be disposed of when no more logins come: it then writes when credentials were used last. */
export function createAuthenticator(options: AuthenticatorOptions): Authenticator & AsyncDisposable {
  return new PasswordAuthenticator(options);
}

class PasswordAuthenticator implements Authenticator, AsyncDisposable {
  readonly further: FurtherMechanisms;
  readonly #options: AuthenticatorOptions;
  readonly #verified: VerifiedLogins;
  readonly #lastUse: LastUse<CredentialKey>;
  readonly #lastSubmissionUse: LastUse<string>;
  /** Hashes being computed, by what they decide: a client's many connections come with one password at once. */
  readonly #running = new Map<string, Promise<boolean>>();
  readonly #turns = new NetworkTurns(atOnce);
  /** Of a password that nobody has; what is hashed for names that nobody has. */
  readonly #decoys = new Map<PasswordOrigin, Promise<string>>();

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
    this.#verified = new VerifiedLogins(options.clock);
    const { directory, clock, logger, metrics, scram = null, issuer = null, developmentMode } = options;
    this.#lastUse = new LastUse((keys, at) => directory.noteUse(keys, at), clock, logger);
    this.#lastSubmissionUse = new LastUse((ids, at) => directory.noteSubmissionUse(ids, at), clock, logger);
    const noteUse = (key: CredentialKey): void => this.#noteUse(key);
    const noteSubmissionUse = (id: string): void => this.#lastSubmissionUse.note(id, id);
    this.further = {
      scram:
        scram === null || developmentMode ? null : createScramLogins({ ...scram, metrics, noteUse, noteSubmissionUse }),
      tokens: issuer === null ? null : createTokenLogins({ issuer, directory, logger, metrics }),
    };
  }

  authenticate(attempt: LoginAttempt): Promise<LoginOutcome> {
    return countAttempt(this.#options.metrics, attempt, () => this.#decide(attempt));
  }

  async #decide(attempt: LoginAttempt): Promise<LoginOutcome> {
    if (this.#options.developmentMode) return this.#admit(attempt);
    const prepared = preparePassword(attempt.password);
    const submission =
      attempt.protocol === 'submission' && isUsername(attempt.login)
        ? await this.#options.directory.submissionLogin(attempt.login)
        : null;
    if (submission && prepared !== null) return this.#decideSubmission(submission, prepared, attempt);
    const account = await this.#options.directory.accountByLogin(attempt.login);
    if (!account || account.credentials.length === 0) {
      await this.#hashForNothing(prepared, attempt);
      return { ok: false, reason: account ? 'wrong-password' : 'no-such-account' };
    }
    const used =
      prepared === null ? null : await this.#findCredential(account.accountId, account.credentials, prepared, attempt);
    if (!used) {
      if (prepared === null) await this.#hashForNothing(null, attempt);
      return { ok: false, reason: 'wrong-password' };
    }
    // Said only to who knows the password.
    if (account.isSuspended) return { ok: false, reason: 'suspended' };
    this.#noteUse({ accountId: account.accountId, id: used.id });
    return { ok: true, accountId: account.accountId, address: account.address };
  }

  async #decideSubmission(
    { credentialId, username, passwords }: SubmissionLogin,
    prepared: string,
    attempt: LoginAttempt,
  ): Promise<LoginOutcome> {
    const used = await this.#findCredential(null, passwords, prepared, attempt);
    if (!used) return { ok: false, reason: 'wrong-password' };
    this.#lastSubmissionUse.note(used.id, used.id);
    return { ok: true, accountId: null, credentialId, address: username };
  }

  #noteUse(key: CredentialKey): void {
    this.#lastUse.note(`${key.accountId} ${key.id}`, key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lastUse[Symbol.asyncDispose]();
    await this.#lastSubmissionUse[Symbol.asyncDispose]();
  }

  /** `accountId` null: of a submission login, whose passwords' ids are no others'. */
  async #findCredential(
    accountId: AccountId | null,
    credentials: readonly LoginCredential[],
    prepared: string,
    { remoteAddress }: LoginAttempt,
  ): Promise<LoginCredential | null> {
    const keyed = credentials.map(
      (credential) => [credential, this.#verified.key(accountId, credential, prepared)] as const,
    );
    const known = keyed.find(([, key]) => this.#verified.has(key));
    this.#options.metrics.loginCache.inc({ outcome: known ? 'hit' : 'miss' });
    if (known) return known[0];
    for (const [credential, key] of keyed) {
      const verify = (): Promise<boolean> => this.#verify(accountId, credential, prepared, key);
      if (await this.#once(key, () => this.#turns.take(remoteAddress, verify))) return credential;
    }
    return null;
  }

  #once(key: string, verify: () => Promise<boolean>): Promise<boolean> {
    const running = this.#running.get(key);
    if (running) return running;
    const started = verify().finally(() => this.#running.delete(key));
    this.#running.set(key, started);
    return started;
  }

  async #verify(
    accountId: AccountId | null,
    { id, version, passwordHash }: LoginCredential,
    prepared: string,
    key: string,
  ): Promise<boolean> {
    if (!(await verifyPassword(prepared, passwordHash))) return false;
    this.#verified.add(key);
    if (accountId !== null && needsRehash(passwordHash)) {
      try {
        await this.#options.directory.replaceHash({ accountId, id }, version, await hashPassword(prepared));
      } catch (error) {
        // The password is right all the same; the next login tries again.
        this.#options.logger.warn({ event: 'auth.rehash-failed', err: error }, 'a stronger hash was not stored');
      }
    }
    return true;
  }

  /**
   * As long as a wrong password takes, also where the same one comes several times at once. Which of both lengths it
   * is, for a generated password or a chosen one, is the same at each try.
   */
  async #hashForNothing(prepared: string | null, { login, remoteAddress }: LoginAttempt): Promise<void> {
    const name = login.toLowerCase();
    const { scram } = this.#options;
    const origin = scram ? decoyOrigin(scram.keyring, name) : 'chosen';
    const made = this.#decoys.get(origin) ?? hashPassword('decoy', origin);
    this.#decoys.set(origin, made);
    const decoy = await made;
    const nobody = { id: name, version: 0n };
    const verify = (): Promise<boolean> => verifyPassword(prepared ?? 'no password', decoy);
    await this.#once(this.#verified.key(null, nobody, prepared ?? ''), () => this.#turns.take(remoteAddress, verify));
  }

  async #admit({ login, protocol, mechanism, remoteAddress }: LoginAttempt): Promise<LoginOutcome> {
    const { directory, logger } = this.#options;
    const account = await directory.findOrMakeAccount(login);
    if (!account) return { ok: false, reason: 'no-such-account' };
    if (account.isSuspended) return { ok: false, reason: 'suspended' };
    const { accountId, address } = account;
    logger.warn(
      { event: 'auth.development', dev: true, address, protocol, mechanism, remoteAddress },
      'DEVELOPMENT MODE: logged in without looking at the password',
    );
    return { ok: true, accountId, address };
  }
}
