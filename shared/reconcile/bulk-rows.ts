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

/** Ids by name. Throws RowsChanged where one is not there. */
async function domainIds(tx: Kysely<Database>, names: Iterable<string>): Promise<ReadonlyMap<string, bigint>> {
  const wanted = [...new Set(names)];
  const rows = await tx.selectFrom('domain').select(['id', 'name']).where('name', 'in', wanted).execute();
  if (rows.length < wanted.length) throw new RowsChanged('a domain is gone');
  return new Map(rows.map(({ id, name }) => [name, id]));
}

/** Ids of the accounts that follow these resources, by UID; of those that are there. */
export async function accountIds(
  tx: Kysely<Database>,
  uids: readonly string[],
): Promise<ReadonlyMap<string, AccountId>> {
  if (uids.length === 0) return new Map();
  const { rows } = await sql<{ readonly id: AccountId; readonly resource_uid: string }>`
    select id, resource_uid from account where resource_uid = any (${uids}::uuid[])`.execute(tx);
  return new Map(rows.map(({ id, resource_uid: uid }) => [uid, id]));
}

/** Makes the accounts with their own addresses. Their ids, by `addressKey`. */
export async function insertAccounts(
  tx: Kysely<Database>,
  accounts: readonly WantedAccount[],
): Promise<ReadonlyMap<string, AccountId>> {
  if (accounts.length === 0) return new Map();
  const domains = await domainIds(
    tx,
    accounts.map(({ domain }) => domain),
  );
  const domainNames = new Map([...domains].map(([name, id]) => [id, name]));
  const { rows } = await sql<{ readonly id: AccountId; readonly domain_id: bigint; readonly local_part: string }>`
    insert into account (domain_id, local_part, managed_by, ${columnNames})
      select v.domain_id, v.local_part, 'reconciler', ${valueNames}
        from jsonb_to_recordset(${rowsOf(accounts, domains)}::jsonb) v (domain_id int8, local_part text, ${recordColumns})
      returning id, domain_id, local_part`.execute(tx);
  const made = rows.map(({ id, domain_id, local_part: localPart }) => ({
    id,
    address: { domain: domainNames.get(domain_id) ?? '', localPart },
  }));
  await insertAddresses(tx, made);
  return new Map(made.map(({ id, address }) => [addressKey(address), id]));
}

/** Takes up or changes accounts. */
export async function updateAccounts(
  tx: Kysely<Database>,
  accounts: readonly { readonly id: AccountId; readonly account: WantedAccount }[],
): Promise<void> {
  if (accounts.length === 0) return;
  const ids = accounts.map(({ id }) => String(id));
  const values = rowsOf(
    accounts.map(({ account }) => account),
    new Map(),
  );
  const result = await sql`
    update account set (managed_by, retained_at, purge_after, ${columnNames}) =
        (select 'reconciler', null::timestamptz, null::timestamptz, ${valueNames})
      from rows from (unnest(${ids}::int8[]), jsonb_to_recordset(${values}::jsonb) as (${recordColumns}))
        v (id, ${columnNames})
      where account.id = v.id`.execute(tx);
  if (result.numAffectedRows !== BigInt(accounts.length)) throw new RowsChanged('an account is gone');
}

/** Addresses of accounts. */
export async function insertAddresses(
  tx: Kysely<Database>,
  addresses: readonly { readonly id: AccountId; readonly address: Named }[],
): Promise<void> {
  if (addresses.length === 0) return;
  const domains = await domainIds(
    tx,
    addresses.map(({ address }) => address.domain),
  );
  const domainColumn = addresses.map(({ address }) => String(domains.get(address.domain)));
  const localParts = addresses.map(({ address }) => address.localPart);
  const accounts = addresses.map(({ id }) => String(id));
  await sql`insert into address (domain_id, local_part, account_id)
    select * from unnest(${domainColumn}::int8[], ${localParts}::text[], ${accounts}::int8[])`.execute(tx);
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

function rowsOf(accounts: readonly WantedAccount[], domains: ReadonlyMap<string, bigint>): string {
  return JSON.stringify(
    accounts.map((account): Record<keyof typeof columns | 'domain_id' | 'local_part', unknown> => ({
      domain_id: String(domains.get(account.domain)),
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
