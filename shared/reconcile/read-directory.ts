import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { AccountId } from '#shared/base/ids.ts';
import type { Database } from '#shared/db/schema.ts';
import type { TaggedCredential } from '#shared/directory/credentials.ts';
import type { ObservedCredential } from '#shared/provisioning/credential-plan.ts';
import type { ObservedAccount, ObservedAlias, ObservedDomain } from '#shared/provisioning/observed.ts';
import { routeColumns } from '#shared/provisioning/mail-route-plan.ts';
import type { ObservedRoute } from '#shared/provisioning/mail-route-plan.ts';
import type { Named, SendingLimits } from '#shared/provisioning/wanted.ts';

/** An account's primary credential, as far as it is needed to know its password again. */
export type StoredPrimary = TaggedCredential & {
  /** In base64: a Buffer has three times its size around it, and there may be tens of thousands. */
  readonly secret_tag: string | null;
};

/** By which a secret is known again, with the key that the tag was made with. */
type Tagged = { readonly sealKeyId: string; readonly secretTag: Buffer };

export type StoredRoute = Omit<ObservedRoute, 'secrets'> & Tagged;

/** `present`: its password, null where it has none. */
export type StoredCredential = Omit<ObservedCredential, 'password'> & {
  readonly present: (Tagged & { readonly id: string }) | null;
};

/** The directory as it is stored, but for what its passwords are. */
export type StoredDirectory = {
  readonly domains: readonly ObservedDomain[];
  readonly accounts: readonly Omit<ObservedAccount, 'password'>[];
  readonly aliases: readonly ObservedAlias[];
  readonly routes: readonly StoredRoute[];
  readonly credentials: readonly StoredCredential[];
  readonly primaries: ReadonlyMap<AccountId, StoredPrimary>;
};

export async function readDirectory(db: Kysely<Database>): Promise<StoredDirectory> {
  const domains = await readDomains(db);
  const names = new Map(domains.map(({ id, name }) => [id, name]));
  const further = await readFurtherAddresses(db, names);
  return {
    domains,
    accounts: await readAccounts(db, names, { further }),
    aliases: await readAliases(db, names),
    routes: await readRoutes(db),
    credentials: await readCredentials(db),
    primaries: await readPrimaries(db),
  };
}

/**
 * Domains, and what has to do with some Mailboxes: the rows that follow them, and whatever has one of their addresses.
 * Routes and logins of workloads are left out.
 */
export async function readPart(
  db: Kysely<Database>,
  part: { readonly uids: ReadonlySet<string>; readonly addresses: readonly Named[] },
): Promise<StoredDirectory> {
  const domains = await readDomains(db);
  const names = new Map(domains.map(({ id, name }) => [id, name]));
  const found = await findPart(db, part, new Map(domains.map(({ id, name }) => [name, id])));
  const further = await readFurtherAddresses(db, names, found.accounts);
  return {
    domains,
    accounts: await readAccounts(db, names, { further, ids: found.accounts }),
    aliases: found.aliases.length > 0 ? await readAliases(db, names, found.aliases) : [],
    routes: [],
    credentials: [],
    primaries: await readPrimaries(db, found.accounts),
  };
}

type Found = { readonly accounts: readonly AccountId[]; readonly aliases: readonly bigint[] };

async function findPart(
  db: Kysely<Database>,
  { uids, addresses }: Parameters<typeof readPart>[1],
  domains: ReadonlyMap<string, bigint>,
): Promise<Found> {
  // A domain without a row has no addresses.
  const stored = addresses.filter(({ domain }) => domains.has(domain));
  const at = sql`unnest(${stored.map(({ domain }) => String(domains.get(domain)))}::int8[],
    ${stored.map(({ localPart }) => localPart)}::text[]) as at (domain_id, local_part)`;
  const { rows } = await sql<{ readonly account_id: AccountId | null; readonly alias_id: bigint | null }>`
    select id as account_id, null::int8 as alias_id from account where resource_uid = any (${[...uids]}::uuid[])
    union select account_id, alias_id from address join ${at} using (domain_id, local_part)
    union select id, null from account join ${at} using (domain_id, local_part)
    union select null, id from alias join ${at} using (domain_id, local_part)`.execute(db);
  return {
    accounts: rows.flatMap(({ account_id }) => account_id ?? []),
    aliases: rows.flatMap(({ alias_id }) => alias_id ?? []),
  };
}

/** Two reads of one directory that nobody changed meanwhile have one text. */
export function fingerprint({ primaries, ...rest }: StoredDirectory): string {
  const versions = [...primaries.values()].map(({ account_id, id, version }) => [account_id, id, version]);
  return JSON.stringify([rest, versions], (_, value: unknown) => (typeof value === 'bigint' ? `${value}` : value));
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
      hasOwnName: (names.get(row.id) ?? []).includes(row.name),
      aliasDomains: (names.get(row.id) ?? []).filter((name) => name !== row.name),
      subaddressDelimiter: row.subaddress_delimiter,
      catchAll:
        row.catch_all_local !== null && row.catch_all_domain !== null
          ? { localPart: row.catch_all_local, domain: row.catch_all_domain }
          : null,
      suspended: row.suspended,
      limits: limitsOf(row),
      dkim: {
        algorithms: row.dkim_algorithms,
        rotationSeconds: row.dkim_rotation_seconds === null ? null : Number(row.dkim_rotation_seconds),
        overlapSeconds: row.dkim_overlap_seconds === null ? null : Number(row.dkim_overlap_seconds),
      },
      maxMessageBytes: row.max_message_bytes,
      requiresInboundTls: row.requires_inbound_tls,
    }),
  );
}

type FurtherAddresses = ReadonlyMap<AccountId, readonly Named[]>;

/** Further addresses, by account and by alias; those that an alias has beside its own are nobody's doing here. */
async function readFurtherAddresses(
  db: Kysely<Database>,
  domains: ReadonlyMap<bigint, string>,
  ids: readonly AccountId[] | null = null,
): Promise<FurtherAddresses> {
  const rows = await db
    .selectFrom('address')
    .innerJoin('account', 'account.id', 'address.account_id')
    .select(['account.id', 'address.domain_id', 'address.local_part'])
    .where((eb) =>
      eb.or([
        eb('address.local_part', '<>', eb.ref('account.local_part')),
        eb('address.domain_id', '<>', eb.ref('account.domain_id')),
      ]),
    )
    .$if(ids !== null, (query) => query.where('account.id', '=', anyOf(ids ?? [])))
    .orderBy('address.domain_id')
    .orderBy('address.local_part')
    .execute();
  return group(
    rows,
    ({ id }) => id,
    (row): Named => ({ localPart: row.local_part, domain: domains.get(row.domain_id) ?? '' }),
  );
}

/** Whether the address of a row's own name leads to it. */
function hasOwnAddress(table: 'account' | 'alias') {
  return sql<boolean>`exists (select from address own where own.domain_id = ${sql.ref(`${table}.domain_id`)}
    and own.local_part = ${sql.ref(`${table}.local_part`)} and own.${sql.ref(`${table}_id`)} = ${sql.ref(`${table}.id`)})`;
}

/** One parameter, however many there are. */
function anyOf<Id extends bigint>(ids: readonly Id[]) {
  return sql<Id>`any (${ids.map(String)}::int8[])`;
}

const noAddresses: readonly Named[] = [];

async function readAccounts(
  db: Kysely<Database>,
  domains: ReadonlyMap<bigint, string>,
  { further, ids = null }: { readonly further: FurtherAddresses; readonly ids?: readonly AccountId[] | null },
): Promise<StoredDirectory['accounts']> {
  const rows = await db
    .selectFrom('account')
    .select([
      'id',
      'domain_id',
      'local_part',
      ...managedColumns,
      'display_name',
      'quota_bytes',
      'suspended',
      'deletion_grace_seconds',
      'messages_per_hour',
      'messages_per_day',
      'new_recipients_per_day',
      'recipients_per_message',
      'saves_sent',
      sql<boolean>`coalesce(purge_after <= now(), false)`.as('is_purge_due'),
      hasOwnAddress('account').as('has_own_address'),
    ])
    .$if(ids !== null, (query) => query.where('id', '=', anyOf(ids ?? [])))
    .orderBy('id')
    .execute();
  return rows.map((row) => {
    return managed(row, {
      id: row.id,
      domain: domains.get(row.domain_id) ?? '',
      localPart: row.local_part,
      displayName: row.display_name,
      quotaBytes: row.quota_bytes,
      suspended: row.suspended,
      graceSeconds: Number(row.deletion_grace_seconds),
      isPurgeDue: row.is_purge_due,
      hasOwnAddress: row.has_own_address,
      aliases: further.get(row.id) ?? noAddresses,
      limits: { ...limitsOf(row), recipientsPerMessage: row.recipients_per_message },
      savesSent: row.saves_sent,
    });
  });
}

async function readAliases(
  db: Kysely<Database>,
  domains: ReadonlyMap<bigint, string>,
  ids: readonly bigint[] | null = null,
): Promise<readonly ObservedAlias[]> {
  const members = group(
    await db
      .selectFrom('alias_member')
      .selectAll()
      .$if(ids !== null, (query) => query.where('alias_id', '=', anyOf(ids ?? [])))
      .orderBy('domain_name')
      .orderBy('local_part')
      .execute(),
    ({ alias_id }) => alias_id,
    ({ local_part: localPart, domain_name: domain }) => ({ localPart, domain }),
  );
  const rows = await db
    .selectFrom('alias')
    .select([
      'id',
      'domain_id',
      'local_part',
      ...managedColumns,
      'send_as',
      hasOwnAddress('alias').as('has_own_address'),
    ])
    .$if(ids !== null, (query) => query.where('id', '=', anyOf(ids ?? [])))
    .orderBy('id')
    .execute();
  return rows.map((row) => {
    return managed(row, {
      id: row.id,
      domain: domains.get(row.domain_id) ?? '',
      localPart: row.local_part,
      hasOwnAddress: row.has_own_address,
      members: members.get(row.id) ?? [],
      sendAs: row.send_as,
    });
  });
}

async function readRoutes(db: Kysely<Database>): Promise<readonly StoredRoute[]> {
  const rows = await db
    .selectFrom('mail_route')
    .select([
      'id',
      'resource_uid',
      'resource_name',
      'priority',
      'sender_domains',
      'recipient_domains',
      'spec',
      'spec_hash',
      'seal_key_id',
      'secret_tag',
    ])
    .orderBy('id')
    .execute();
  return rows.map((row) => ({
    id: row.id,
    resourceUid: row.resource_uid,
    resourceName: row.resource_name,
    columns: routeColumns(row.priority, row.sender_domains, row.recipient_domains, row.spec),
    specHash: row.spec_hash,
    sealKeyId: row.seal_key_id,
    secretTag: row.secret_tag,
  }));
}

async function readCredentials(db: Kysely<Database>): Promise<readonly StoredCredential[]> {
  const rows = await db.selectFrom('mail_credential').selectAll().orderBy('id').execute();
  if (rows.length === 0) return [];
  const passwords = group(
    await db
      .selectFrom('mail_credential_password')
      .select(['credential_id', 'id', 'seal_key_id', 'secret_tag', 'expires_at', 'created_at'])
      .select(sql<boolean>`coalesce(expires_at <= now(), false)`.as('has_expired'))
      .orderBy('credential_id')
      .orderBy('created_at')
      .execute(),
    ({ credential_id }) => credential_id,
    (row) => row,
  );
  return rows.map((row) => {
    const own = passwords.get(row.id) ?? [];
    const present = own.find(({ expires_at }) => expires_at === null) ?? null;
    const previous = own.findLast(({ expires_at, has_expired }) => expires_at !== null && !has_expired);
    return {
      id: row.id,
      resourceUid: row.resource_uid,
      resourceName: row.resource_name,
      username: row.username,
      allowedSenders: row.allowed_senders,
      limits: limitsOf(row),
      overlapSeconds: Number(row.overlap_seconds),
      specHash: row.spec_hash,
      passwordSince: present?.created_at ?? null,
      previousUntil: previous?.expires_at ?? null,
      hasExpired: own.some(({ has_expired }) => has_expired),
      present: present && { id: present.id, sealKeyId: present.seal_key_id, secretTag: present.secret_tag },
    };
  });
}

async function readPrimaries(
  db: Kysely<Database>,
  ids: readonly AccountId[] | null = null,
): Promise<ReadonlyMap<AccountId, StoredPrimary>> {
  const rows = await db
    .selectFrom('credential')
    .select(['account_id', 'id', 'seal_key_id', 'version'])
    .select(sql<string | null>`encode(secret_tag, 'base64')`.as('secret_tag'))
    .where('kind', '=', 'primary')
    .$if(ids !== null, (query) => query.where('account_id', '=', anyOf(ids ?? [])))
    .orderBy('account_id')
    .execute();
  return new Map(rows.map((row) => [row.account_id, row]));
}

const managedColumns = [
  'resource_uid',
  'resource_name',
  'deletion_policy',
  'retained_at',
  'managed_by',
  'spec_hash',
] as const;

type LimitColumns = {
  readonly messages_per_hour: number | null;
  readonly messages_per_day: number | null;
  readonly new_recipients_per_day: number | null;
};

function limitsOf(row: LimitColumns): SendingLimits {
  return {
    messagesPerHour: row.messages_per_hour,
    messagesPerDay: row.messages_per_day,
    newRecipientsPerDay: row.new_recipients_per_day,
  };
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
  for (const row of rows) append(groups, key(row), value(row));
  return groups;
}

function append<Key, Value>(groups: Map<Key, Value[]>, key: Key, value: Value): void {
  const values = groups.get(key);
  if (values) values.push(value);
  else groups.set(key, [value]);
}
