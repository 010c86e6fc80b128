/** SCRAM against the directory. Invariant: a name that nobody has is answered like any other, the same at each try. */
import type { Keyring } from '#shared/directory/keyring.ts';
import type { CredentialKey, ScramAccount, ScramDirectory, ScramNobody } from '#shared/directory/logins.ts';
import type { PasswordOrigin } from '#shared/directory/password.ts';
import { iterationsOf, saltBytes } from '#shared/directory/scram.ts';
import type { Metrics } from '#shared/observe/metrics.ts';
import type { LoginOutcome, ScramAttempt, ScramExchange, ScramLogins } from './authenticator.ts';

const mechanisms = { sha256: 'SCRAM-SHA-256', sha1: 'SCRAM-SHA-1' } as const;

export type ScramLoginsOptions = {
  readonly directory: ScramDirectory;
  readonly keyring: Keyring;
  readonly metrics: Pick<Metrics, 'authAttempts'>;
  /** Says that a credential was used. */
  readonly noteUse: (key: CredentialKey) => void;
};

export function createScramLogins({ directory, keyring, metrics, noteUse }: ScramLoginsOptions): ScramLogins {
  return {
    async begin(attempt) {
      const { protocol, mechanism, hash } = attempt;
      const count = (outcome: string): void => metrics.authAttempts.inc({ protocol, mechanism, outcome });
      const account = await found(directory, attempt).catch((error: unknown) => {
        count('unavailable');
        throw error;
      });
      const outcomeOf = (isProven: boolean): LoginOutcome => {
        if (account.verifier === null) return { ok: false, reason: 'no-such-account' };
        if (!isProven) return { ok: false, reason: 'wrong-password' };
        // Said only to who knows the password.
        if (account.isSuspended) return { ok: false, reason: 'suspended' };
        noteUse({ accountId: account.accountId, id: account.credentialId });
        return { ok: true, accountId: account.accountId, address: account.address };
      };
      return {
        keys: account.verifier ?? decoy(keyring, account.name, hash),
        settle(isProven) {
          const outcome = outcomeOf(isProven);
          count(outcome.ok ? 'ok' : outcome.reason);
          return outcome;
        },
      };
    },
  };
}

function found(directory: ScramDirectory, { login, hash }: ScramAttempt): Promise<ScramAccount | ScramNobody> {
  return directory.scramByLogin(login, mechanisms[hash]);
}

/** As if a name that nobody has had a password that was chosen, or generated: the same one at each try. */
export function decoyOrigin(keyring: Keyring, name: string): PasswordOrigin {
  const byte = keyring.tag(keyring.activeId, name, 'decoy origin')[0] ?? 0;
  return byte % 2 === 0 ? 'chosen' : 'generated';
}

/** A salt as lasting as a real one, whatever way the name is written, and keys that nobody knows a password for. */
function decoy(keyring: Keyring, name: string, hash: ScramAttempt['hash']): ScramExchange['keys'] {
  const made = (what: string): Buffer => keyring.tag(keyring.activeId, name, `scram ${hash} ${what}`);
  return {
    // Generated passwords have fewer iterations: which of both a name has, must not tell that nobody has it.
    iterations: iterationsOf(decoyOrigin(keyring, name)),
    salt: made('salt').subarray(0, saltBytes),
    storedKey: made('stored key').subarray(0, hash === 'sha256' ? 32 : 20),
    serverKey: made('server key'),
  };
}
