/** Which accounts have the password that their Secret holds. */
import type { Kysely } from 'kysely';
import type { AccountId } from '#shared/base/ids.ts';
import { forEachBounded } from '#shared/base/bounded.ts';
import { ProgramFault } from '#shared/base/program-fault.ts';
import type { Database } from '#shared/db/schema.ts';
import { isPasswordOf, secretTag } from '#shared/directory/credentials.ts';
import type { Keyring } from '#shared/directory/keyring.ts';
import type { ObservedAccount } from '#shared/provisioning/observed.ts';
import { addressKey } from '#shared/provisioning/wanted.ts';
import type { WantedDirectory } from '#shared/provisioning/wanted.ts';
import type { StoredDirectory, StoredPrimary } from '#shared/reconcile/read-directory.ts';

/** Passwords at work at a time: enough to keep the hashing's turns busy, so that logins still get some of them. */
export const passwordsAtOnce = 2;

export type Recognised = { readonly credential: StoredPrimary; readonly tag: Buffer };

type Known = {
  readonly passwords: ReadonlyMap<AccountId, ObservedAccount['password']>;
  /** Credentials whose password turned out to be their Secret's, which their tag didn't tell. */
  readonly recognised: readonly Recognised[];
};

export class KnownPasswords {
  readonly #db: Kysely<Database>;
  readonly #keyring: Keyring;
  /** Passwords that were compared before, by their tag: SCRAM's iterations are not cheap. */
  #compared = new Map<string, boolean>();

  constructor(db: Kysely<Database>, keyring: Keyring) {
    this.#db = db;
    this.#keyring = keyring;
  }

  /** Throws ProgramFault 78 where the keyring is that of another database. */
  async look({ accounts }: WantedDirectory, stored: StoredDirectory): Promise<Known> {
    const wanted = new Map(accounts.map((account) => [addressKey(account), account]));
    const passwords = new Map<AccountId, ObservedAccount['password']>();
    const recognised: Recognised[] = [];
    const compared = new Map<string, boolean>();
    await forEachBounded(stored.accounts, passwordsAtOnce, async (row) => {
      const credential = stored.primaries.get(row.id);
      if (!credential) return;
      const password = wanted.get(addressKey(row))?.password;
      passwords.set(row.id, 'other');
      if (!password || password.value === null) return;
      const tag = this.#tag(credential, password.value);
      const isTagged = credential.secret_tag === tag.toString('base64');
      // One that was set once and is its owner's since then needs no closer look: it is not set again.
      if (!isTagged && (!password.isFollowed || !(await this.#isSame(credential, password.value, tag, compared)))) {
        return;
      }
      if (!isTagged) recognised.push({ credential, tag });
      passwords.set(row.id, 'same');
    });
    this.#compared = compared;
    return { passwords, recognised };
  }

  #tag(credential: StoredPrimary, value: string): Buffer {
    try {
      return secretTag(credential, this.#keyring, value);
    } catch (cause) {
      throw wrongKeyring(credential, cause);
    }
  }

  async #isSame(
    credential: StoredPrimary,
    value: string,
    tag: Buffer,
    compared: Map<string, boolean>,
  ): Promise<boolean> {
    const key = tag.toString('base64');
    const isSame = this.#compared.get(key) ?? (await this.#isPasswordOf(credential, value));
    compared.set(key, isSame);
    return isSame;
  }

  async #isPasswordOf(credential: StoredPrimary, value: string): Promise<boolean> {
    const row = await this.#db
      .selectFrom('credential')
      .select(['account_id', 'id', 'scram_sha256', 'seal_key_id'])
      .where('account_id', '=', credential.account_id)
      .where('id', '=', credential.id)
      .executeTakeFirst();
    if (!row) return false;
    try {
      return await isPasswordOf(row, this.#keyring, value);
    } catch (cause) {
      throw wrongKeyring(credential, cause);
    }
  }
}

function wrongKeyring({ seal_key_id }: StoredPrimary, cause: unknown): ProgramFault {
  return new ProgramFault(
    78,
    `the keyring does not open what the database holds (key ${seal_key_id})`,
    'Put back the keyring that was made together with this database.',
    { cause },
  );
}
