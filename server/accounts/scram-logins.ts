/** SCRAM against the directory. Invariant: a name that nobody has is answered like any other, the same at each try. */
import type { Keyring } from '#shared/directory/keyring.ts';
import { isUsername } from '#shared/directory/logins.ts';
import type { CredentialKey, ScramDirectory, SubmissionScram } from '#shared/directory/logins.ts';
import type { PasswordOrigin } from '#shared/directory/password.ts';
import { iterationsOf, saltBytes } from '#shared/directory/scram.ts';
import type { Metrics } from '#shared/observe/metrics.ts';
import type { ScramKeys } from '#server/sasl/scram-proof.ts';
import type { ScramAttempt, ScramExchange, ScramLogins } from './authenticator.ts';

const mechanisms = { sha256: 'SCRAM-SHA-256', sha1: 'SCRAM-SHA-1' } as const;

export type ScramLoginsOptions = {
  readonly directory: ScramDirectory;
  readonly keyring: Keyring;
  readonly metrics: Pick<Metrics, 'authAttempts'>;
  /** Says that a credential was used. */
  readonly noteUse: (key: CredentialKey) => void;
  /** Says that a password of a submission login was used. */
  readonly noteSubmissionUse: (id: string) => void;
};

export function createScramLogins(options: ScramLoginsOptions): ScramLogins {
  return {
    async begin(attempt) {
      const { protocol, mechanism } = attempt;
      const count = (outcome: string): void => options.metrics.authAttempts.inc({ protocol, mechanism, outcome });
      const exchange = await find(options, attempt).catch((error: unknown) => {
        count('unavailable');
        throw error;
      });
      return {
        keys: exchange.keys,
        settle(proven) {
          const outcome = exchange.settle(proven);
          count(outcome.ok ? 'ok' : outcome.reason);
          return outcome;
        },
      };
    },
  };
}

async function find(options: ScramLoginsOptions, attempt: ScramAttempt): Promise<ScramExchange> {
  const { directory, keyring } = options;
  const { login, hash, protocol } = attempt;
  const submission =
    protocol === 'submission' && isUsername(login) ? await directory.scramByUsername(login, mechanisms[hash]) : null;
  const own = submission && submissionExchange(options, submission);
  if (own) return own;
  const account = await directory.scramByLogin(login, mechanisms[hash]);
  if (account.verifier === null) {
    const keys = [decoy(keyring, account.name, hash)] as const;
    return { keys, settle: () => ({ ok: false, reason: 'no-such-account' }) };
  }
  return {
    keys: [account.verifier],
    settle(proven) {
      if (proven === null) return { ok: false, reason: 'wrong-password' };
      // Said only to who knows the password.
      if (account.isSuspended) return { ok: false, reason: 'suspended' };
      options.noteUse({ accountId: account.accountId, id: account.credentialId });
      return { ok: true, accountId: account.accountId, address: account.address };
    },
  };
}

/** Null: it has no password. Those that were made with another salt, by whatever chance, can't be asked for as well. */
function submissionExchange(
  { noteSubmissionUse }: ScramLoginsOptions,
  { credentialId, username, passwords }: SubmissionScram,
): ScramExchange | null {
  const [present] = passwords;
  if (!present) return null;
  const { salt, iterations } = present.verifier;
  const others = passwords
    .slice(1)
    .filter(({ verifier }) => verifier.salt.equals(salt) && verifier.iterations === iterations);
  return {
    keys: [present.verifier, ...others.map(({ verifier }) => verifier)],
    settle(proven) {
      const used = passwords.find(({ verifier }) => verifier === proven);
      if (!used) return { ok: false, reason: 'wrong-password' };
      noteSubmissionUse(used.id);
      return { ok: true, accountId: null, credentialId, address: username };
    },
  };
}

/** As if a name that nobody has had a password that was chosen, or generated: the same one at each try. */
export function decoyOrigin(keyring: Keyring, name: string): PasswordOrigin {
  const byte = keyring.tag(keyring.activeId, name, 'decoy origin')[0] ?? 0;
  return byte % 2 === 0 ? 'chosen' : 'generated';
}

/** A salt as lasting as a real one, whatever way the name is written, and keys that nobody knows a password for. */
function decoy(keyring: Keyring, name: string, hash: ScramAttempt['hash']): ScramKeys {
  const made = (what: string): Buffer => keyring.tag(keyring.activeId, name, `scram ${hash} ${what}`);
  return {
    // Generated passwords have fewer iterations: which of both a name has, must not tell that nobody has it.
    iterations: iterationsOf(decoyOrigin(keyring, name)),
    salt: made('salt').subarray(0, saltBytes),
    storedKey: made('stored key').subarray(0, hash === 'sha256' ? 32 : 20),
    serverKey: made('server key'),
  };
}
