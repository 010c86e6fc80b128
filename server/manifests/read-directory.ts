import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { AccountId } from '#shared/base/ids.ts';
import type { Database } from '#shared/db/schema.ts';
import type { SealedCredential, TaggedCredential } from '#shared/directory/credentials.ts';
import type {
  ObservedAccount,
  ObservedAlias,
  ObservedDirectory,
  ObservedDomain,
} from '#shared/provisioning/observed.ts';
import type { ObservedRoute } from '#shared/provisioning/mail-route-plan.ts';
import type { Named } from '#shared/provisioning/wanted.ts';

/** An account's primary credential, as far as it is needed to know its password again. */
export type StoredCredential = SealedCredential & TaggedCredential & { readonly secret_tag: Buffer | null };

/** A route's secrets, as far as they are needed to know them again. */
export type StoredRoute = Omit<ObservedRoute, 'secrets'> & { readonly sealKeyId: string; readonly secretTag: Buffer };

/** The directory as it is stored, but for what its passwords are. */
export type StoredDirectory = {
  readonly domains: readonly ObservedDomain[];
  readonly accounts: readonly Omit<ObservedAccount, 'password'>[];
  readonly aliases: readonly ObservedAlias[];
  readonly routes: readonly StoredRoute[];
  readonly credentials: ReadonlyMap<AccountId, StoredCredential>;
};

export async function readDirectory(db: Kysely<Database>): Promise<StoredDirectory> {
  return {
    domains: await readDomains(db),
    accounts: await readAccounts(db),
    aliases: await readAliases(db),
    routes: await readRoutes(db),
    credentials: await readCredentials(db),
  };
}

/** Two reads of one directory that nobody changed meanwhile have one text. */
export function fingerprint({ domains, accounts, aliases, routes, credentials }: StoredDirectory): string {
  const versions = [...credentials.values()].map(({ account_id, id, version }) => [account_id, id, version]);
  return JSON.stringify([domains, accounts, aliases, routes, versions], (_, value: unknown) =>
    typeof value === 'bigint' ? `${value}` : value,
  );
}

export function withPasswords(
  stored: StoredDirectory,
  passwords: ReadonlyMap<AccountId, ObservedAccount['password']>,
  routes: readonly ObservedRoute[],
): ObservedDirectory {
  return {
    domains: stored.domains,
    accounts: stored.accounts.map((account) => ({ ...account, password: passwords.get(account.id) ?? 'none' })),
    aliases: stored.aliases,
    routes,
  };
}

async function readDomains(db: Kysely<Database>): Promise<readonly ObservedDomain[]> {
  const names = group(
    await db.selectFrom('domain_name').selectAll().orderBy('name').execute(),
    ({ domain_id }) => domain_id,
    ({ name }) => name,
  );
  const rows = await db.selectFrom('domain').selectAll().orderBy('id').execute();
  return rows.map((row) =>
    managed(row, {
      id: row.id,
      name: row.name,
      aliasDomains: (names.get(row.id) ?? []).filter((name) => name !== row.name),
      subaddressDelimiter: row.subaddress_delimiter,
      catchAll:
        row.catch_all_local !== null && row.catch_all_domain !== null
          ? { localPart: row.catch_all_local, domain: row.catch_all_domain }
          : null,
      suspended: row.suspended,
    }),
  );
}

async function readAccounts(db: Kysely<Database>): Promise<StoredDirectory['accounts']> {
  const addresses = group(
    await db
      .selectFrom('address')
      .innerJoin('domain', 'domain.id', 'address.domain_id')
      .innerJoin('account', 'account.id', 'address.account_id')
      .select(['account.id', 'address.local_part as localPart', 'domain.name as domain'])
      .where((eb) =>
        eb.or([
          eb('address.local_part', '<>', eb.ref('account.local_part')),
          eb('address.domain_id', '<>', eb.ref('account.domain_id')),
        ]),
      )
      .orderBy('domain.name')
      .orderBy('address.local_part')
      .execute(),
    ({ id }) => id,
    ({ localPart, domain }): Named => ({ localPart, domain }),
  );
  const rows = await db
    .selectFrom('account')
    .innerJoin('domain', 'domain.id', 'account.domain_id')
    .selectAll('account')
    .select(['domain.name as domain', sql<boolean>`coalesce(account.purge_after <= now(), false)`.as('is_purge_due')])
    .orderBy('account.id')
    .execute();
  return rows.map((row) =>
    managed(row, {
      id: row.id,
      domain: row.domain,
      localPart: row.local_part,
      displayName: row.display_name,
      quotaBytes: row.quota_bytes,
      suspended: row.suspended,
      graceSeconds: Number(row.deletion_grace_seconds),
      isPurgeDue: row.is_purge_due,
      aliases: addresses.get(row.id) ?? [],
    }),
  );
}

async function readAliases(db: Kysely<Database>): Promise<readonly ObservedAlias[]> {
  const members = group(
    await db.selectFrom('alias_member').selectAll().orderBy('domain_name').orderBy('local_part').execute(),
    ({ alias_id }) => alias_id,
    ({ local_part: localPart, domain_name: domain }) => ({ localPart, domain }),
  );
  const rows = await db
    .selectFrom('alias')
    .innerJoin('domain', 'domain.id', 'alias.domain_id')
    .selectAll('alias')
    .select('domain.name as domain')
    .orderBy('alias.id')
    .execute();
  return rows.map((row) =>
    managed(row, {
      id: row.id,
      domain: row.domain,
      localPart: row.local_part,
      members: members.get(row.id) ?? [],
    }),
  );
}

async function readRoutes(db: Kysely<Database>): Promise<readonly StoredRoute[]> {
  const rows = await db
    .selectFrom('mail_route')
    .select(['id', 'resource_uid', 'resource_name', 'spec_hash', 'seal_key_id', 'secret_tag'])
    .orderBy('id')
    .execute();
  return rows.map((row) => ({
    id: row.id,
    resourceUid: row.resource_uid,
    resourceName: row.resource_name,
    specHash: row.spec_hash,
    sealKeyId: row.seal_key_id,
    secretTag: row.secret_tag,
  }));
}

async function readCredentials(db: Kysely<Database>): Promise<ReadonlyMap<AccountId, StoredCredential>> {
  const rows = await db
    .selectFrom('credential')
    .select(['account_id', 'id', 'scram_sha256', 'seal_key_id', 'version', 'secret_tag'])
    .where('kind', '=', 'primary')
    .orderBy('account_id')
    .execute();
  return new Map(rows.map((row) => [row.account_id, row]));
}

type ManagedColumns<By> = {
  readonly resource_uid: string | null;
  readonly resource_name: string | null;
  readonly deletion_policy: ObservedDomain['deletionPolicy'];
  readonly retained_at: Date | null;
  readonly managed_by: By;
  readonly spec_hash: string | null;
};

function managed<By, Own>(row: ManagedColumns<By>, own: Own) {
  return {
    ...own,
    resourceUid: row.resource_uid,
    resourceName: row.resource_name,
    deletionPolicy: row.deletion_policy,
    isRetained: row.retained_at !== null,
    managedBy: row.managed_by,
    specHash: row.spec_hash,
  };
}

function group<Row, Key, Value>(
  rows: readonly Row[],
  key: (row: Row) => Key,
  value: (row: Row) => Value,
): ReadonlyMap<Key, readonly Value[]> {
  const groups = new Map<Key, Value[]>();
  for (const row of rows) {
    const values = groups.get(key(row));
    if (values) values.push(value(row));
    else groups.set(key(row), [value(row)]);
  }
  return groups;
}
