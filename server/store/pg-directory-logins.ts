/** The directory in Postgres, for logins: one query each. */
import { sql, type Kysely } from 'kysely';
import type { AccountId } from '#shared/base/ids.ts';
import { classifyPgError } from '#shared/db/pg-error.ts';
import type { Database } from '#shared/db/schema.ts';
import { transact } from '#shared/db/tx.ts';
import { maxCredentials } from '#shared/directory/logins.ts';
import type { LoginAccount, LoginDirectory } from '#shared/directory/logins.ts';
import { canonicalAddress, formatAddress, parseAddress } from '#shared/text/address.ts';
import type { MailAddress } from '#shared/text/address.ts';
import { directoryFault } from './directory-fault.ts';
import { findSubmissionLogin, noteSubmissionUse } from './pg-submission-logins.ts';

type LoginRow = {
  readonly id: AccountId;
  readonly local_part: string;
  readonly domain: string;
  readonly suspended: boolean;
  readonly credential_id: string | null;
  readonly version: bigint | null;
  readonly password_hash: string | null;
};

export function createPgLoginDirectory(db: Kysely<Database>): LoginDirectory {
  return {
    accountByLogin: (login) => mapped(() => findByLogin(db, login)),
    submissionLogin: (username) => mapped(() => findSubmissionLogin(db, username)),
    noteSubmissionUse: (ids, at) => mapped(() => noteSubmissionUse(db, ids, at)),
    noteUse: (keys, at) =>
      mapped(async () => {
        const accountIds = keys.map(({ accountId }) => String(accountId));
        const ids = keys.map(({ id }) => id);
        await sql`update credential set last_used_at = ${at}
          from unnest(${accountIds}::bigint[], ${ids}::uuid[]) as used (account_id, id)
          where credential.account_id = used.account_id and credential.id = used.id`.execute(db);
      }),
    replaceHash: ({ accountId, id }, version, passwordHash) =>
      mapped(async () => {
        await db
          .updateTable('credential')
          .set({ password_hash: passwordHash })
          .where('account_id', '=', accountId)
          .where('id', '=', id)
          .where('version', '=', version)
          .execute();
      }),
    findOrMakeAccount: (login) =>
      mapped(async () => {
        const known = await findByLogin(db, login);
        if (known) return known;
        await makeAccount(db, login);
        return findByLogin(db, login);
      }),
  };
}

async function mapped<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw directoryFault(error);
  }
}

async function findByLogin(db: Kysely<Database>, login: string): Promise<LoginAccount | null> {
  const address = parseAddress(login);
  if (!address) return null;
  const { rows } = await loginRows(canonicalAddress(address)).execute(db);
  const first = rows[0];
  if (!first) return null;
  return {
    accountId: first.id,
    address: formatAddress({ localPart: first.local_part, domain: first.domain }),
    isSuspended: first.suspended,
    credentials: rows.flatMap(({ credential_id: id, version, password_hash: passwordHash }) =>
      id === null || version === null || passwordHash === null ? [] : [{ id, version, passwordHash }],
    ),
  };
}

export function loginRows({ localPart, domain }: MailAddress) {
  return sql<LoginRow>`/*account-by-login*/
    select account.id, account.local_part, own.name as domain,
        account.suspended or own.suspended or asked.suspended as suspended,
        credential.id as credential_id, credential.version, credential.password_hash
      from domain_name
      join domain asked on asked.id = domain_name.domain_id and asked.retained_at is null
      join address on address.domain_id = asked.id and address.local_part = ${localPart}
      join account on account.id = address.account_id and account.retained_at is null
      join domain own on own.id = account.domain_id and own.retained_at is null
      left join credential on credential.account_id = account.id
      where domain_name.name = ${domain}
      order by credential.kind desc, credential.created_at
      limit ${maxCredentials}::int`;
}

/** Makes nothing where the domain isn't ours or the address is taken, also by a login at the same moment. */
async function makeAccount(db: Kysely<Database>, login: string): Promise<void> {
  const address = parseAddress(login);
  if (!address) return;
  const { localPart, domain: name } = canonicalAddress(address);
  try {
    await transact(db, async (tx) => {
      const domain = await tx
        .selectFrom('domain_name')
        .innerJoin('domain', 'domain.id', 'domain_name.domain_id')
        .select('domain.id')
        .where('domain_name.name', '=', name)
        .where('domain.retained_at', 'is', null)
        .executeTakeFirst();
      if (!domain) return;
      const account = await tx
        .insertInto('account')
        .values({ domain_id: domain.id, local_part: localPart, managed_by: 'login' })
        .returning('id')
        .executeTakeFirstOrThrow();
      await tx
        .insertInto('address')
        .values({ domain_id: domain.id, local_part: localPart, account_id: account.id })
        .execute();
    });
  } catch (error) {
    if (classifyPgError(error).kind !== 'unique-violation') throw error;
  }
}
