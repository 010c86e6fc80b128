/** Accounts by the hundred: one statement for all of a kind, where one each would take minutes for thousands. */
import { sql, type Kysely } from 'kysely';
import type { AccountId } from '#shared/base/ids.ts';
import type { Database } from '#shared/db/schema.ts';
import { addressKey } from '#shared/provisioning/wanted.ts';
import type { Named, WantedAccount } from '#shared/provisioning/wanted.ts';

/** Fewer rows were there than the plan knew of: somebody changed them since. */
export class RowsChanged extends Error {
  override readonly name = 'RowsChanged';
}

/** Makes the accounts with their own addresses. */
export async function insertAccounts(tx: Kysely<Database>, accounts: readonly WantedAccount[]): Promise<void> {
  if (accounts.length === 0) return;
  const result = await sql`
    insert into account (domain_id, local_part, managed_by, ${columnNames})
      select domain.id, v.local_part, 'reconciler', ${valueNames}
        from jsonb_to_recordset(${rowsOf(accounts)}::jsonb) v (domain text, local_part text, ${recordColumns})
        join domain on domain.name = v.domain`.execute(tx);
  expectRows(result.numAffectedRows, accounts.length);
  await insertAddresses(
    tx,
    accounts.map((account) => ({ address: account, owner: account })),
  );
}

/** Takes up or changes accounts. */
export async function updateAccounts(
  tx: Kysely<Database>,
  accounts: readonly { readonly id: AccountId; readonly account: WantedAccount }[],
): Promise<void> {
  if (accounts.length === 0) return;
  const ids = accounts.map(({ id }) => String(id));
  const result = await sql`
    update account set (managed_by, retained_at, purge_after, ${columnNames}) =
        (select 'reconciler', null::timestamptz, null::timestamptz, ${valueNames})
      from rows from (unnest(${ids}::int8[]),
          jsonb_to_recordset(${rowsOf(accounts.map(({ account }) => account))}::jsonb) as (${recordColumns}))
        v (id, ${columnNames})
      where account.id = v.id`.execute(tx);
  expectRows(result.numAffectedRows, accounts.length);
}

export async function insertAddresses(
  tx: Kysely<Database>,
  addresses: readonly { readonly address: Named; readonly owner: Named }[],
): Promise<void> {
  if (addresses.length === 0) return;
  const column = (of: (each: (typeof addresses)[number]) => string): readonly string[] => addresses.map(of);
  const result = await sql`
    insert into address (domain_id, local_part, account_id)
      select domain.id, v.local_part, account.id
        from unnest(${column(({ address }) => address.domain)}::text[],
            ${column(({ address }) => address.localPart)}::text[], ${column(({ owner }) => owner.domain)}::text[],
            ${column(({ owner }) => owner.localPart)}::text[]) v (domain, local_part, owner_domain, owner_local_part)
        join domain on domain.name = v.domain
        join domain own on own.name = v.owner_domain
        join account on account.domain_id = own.id and account.local_part = v.owner_local_part`.execute(tx);
  expectRows(result.numAffectedRows, addresses.length);
}

/** By `addressKey` of their own addresses. */
export async function findAccounts(
  tx: Kysely<Database>,
  names: readonly Named[],
): Promise<ReadonlyMap<string, AccountId>> {
  if (names.length === 0) return new Map();
  const domains = names.map(({ domain }) => domain);
  const localParts = names.map(({ localPart }) => localPart);
  const { rows } = await sql<{ readonly id: AccountId; readonly domain: string; readonly local_part: string }>`
    select account.id, v.domain, v.local_part
      from unnest(${domains}::text[], ${localParts}::text[]) v (domain, local_part)
      join domain on domain.name = v.domain
      join account on account.domain_id = domain.id and account.local_part = v.local_part`.execute(tx);
  return new Map(rows.map((row) => [addressKey({ domain: row.domain, localPart: row.local_part }), row.id]));
}

function expectRows(count: bigint | undefined, expected: number): void {
  if (count !== BigInt(expected)) throw new RowsChanged(`${count ?? 0n} of ${expected} rows`);
}

/** What a Mailbox's row has of its resource, and how each comes from JSON. */
const columns = {
  resource_uid: 'uuid',
  resource_name: 'text',
  deletion_policy: 'text',
  spec_hash: 'text',
  display_name: 'text',
  quota_bytes: 'int8',
  suspended: 'boolean',
  deletion_grace_seconds: 'int8',
  messages_per_hour: 'int4',
  messages_per_day: 'int4',
  new_recipients_per_day: 'int4',
  recipients_per_message: 'int4',
  saves_sent: 'boolean',
} as const;

const names = Object.keys(columns) as readonly (keyof typeof columns)[];
const columnNames = sql.join(names.map((name) => sql.ref(name)));
const valueNames = sql.join(names.map((name) => sql.ref(`v.${name}`)));
const recordColumns = sql.join(names.map((name) => sql`${sql.ref(name)} ${sql.raw(columns[name])}`));

function rowsOf(accounts: readonly WantedAccount[]): string {
  return JSON.stringify(
    accounts.map((account): Record<keyof typeof columns | 'domain' | 'local_part', unknown> => ({
      domain: account.domain,
      local_part: account.localPart,
      resource_uid: account.uid,
      resource_name: account.resourceName,
      deletion_policy: account.deletionPolicy,
      spec_hash: account.specHash,
      display_name: account.displayName,
      quota_bytes: account.quotaBytes === null ? null : String(account.quotaBytes),
      suspended: account.suspended,
      deletion_grace_seconds: account.graceSeconds,
      messages_per_hour: account.limits.messagesPerHour,
      messages_per_day: account.limits.messagesPerDay,
      new_recipients_per_day: account.limits.newRecipientsPerDay,
      recipients_per_message: account.limits.recipientsPerMessage,
      saves_sent: account.savesSent,
    })),
  );
}
