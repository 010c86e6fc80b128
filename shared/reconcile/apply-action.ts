/** What the plan says, in SQL, one action at a time, in a transaction that the caller began and commits. */
import { sql, type Kysely } from 'kysely';
import { unreachable } from '#shared/base/unreachable.ts';
import type { AccountId } from '#shared/base/ids.ts';
import type { Database } from '#shared/db/schema.ts';
import { setPrimaryPassword } from '#shared/directory/credentials.ts';
import type { Action } from '#shared/provisioning/plan.ts';
import type { Named, WantedAccount, WantedAlias, WantedDomain } from '#shared/provisioning/wanted.ts';
import { applyPlainRow, isOfPlainRow, limitColumns, newPasswordOf } from './apply-plain-row.ts';
import type { ApplyOptions } from './apply-plain-row.ts';

export async function applyAction(action: Action, options: ApplyOptions): Promise<void> {
  if (isOfPlainRow(action)) {
    await applyPlainRow(action, options);
    return;
  }
  const { tx, keyring } = options;
  switch (action.do) {
    case 'purge-account':
      await tx
        .deleteFrom('account')
        .where('id', '=', action.id)
        .where(stillOf(action.uid))
        .where('purge_after', '<=', sql<Date>`now()`)
        .execute();
      return;
    case 'delete-alias':
      await tx.deleteFrom('alias').where('id', '=', action.id).where(stillOf(action.uid)).execute();
      return;
    case 'delete-domain':
      await tx.deleteFrom('domain').where('id', '=', action.id).where(stillOf(action.uid)).execute();
      return;
    case 'rename-domain':
      await renameDomain(tx, action);
      return;
    case 'remove-domain-name':
      await tx.deleteFrom('domain_name').where('name', '=', action.name).execute();
      return;
    case 'retire-account':
    case 'retire-alias':
    case 'retire-domain':
    case 'release':
      await letGo(tx, action);
      return;
    case 'put-domain':
      await putDomain(tx, action.id, action.domain);
      return;
    case 'add-domain-name':
      await addDomainName(tx, action.name, action.domain);
      return;
    case 'put-account':
      await putAccount(tx, action.id, action.account);
      return;
    case 'put-alias':
      await putAlias(tx, action.id, action.alias);
      return;
    case 'remove-address':
      await tx
        .deleteFrom('address')
        .where('domain_id', '=', domainId(action.address.domain))
        .where('local_part', '=', action.address.localPart)
        .execute();
      return;
    case 'add-address':
      await addAddress(
        tx,
        action.address,
        action.of === 'account'
          ? { account_id: await accountIdOf(tx, action.owner) }
          : { alias_id: await aliasIdOf(tx, action.owner) },
      );
      return;
    case 'set-password': {
      const made = newPasswordOf(options, action.account);
      await setPrimaryPassword(tx, keyring, await accountIdOf(tx, action.account, action.uid), made);
      return;
    }
    default:
      unreachable(action);
  }
}

type LetGo = Extract<Action, { readonly do: 'retire-account' | 'retire-alias' | 'retire-domain' | 'release' }>;

async function letGo(tx: Kysely<Database>, action: LetGo): Promise<void> {
  const now = sql<Date>`now()`;
  switch (action.do) {
    case 'retire-account': {
      const seconds = action.purgeAfterSeconds;
      const purgeAfter =
        seconds === null ? null : sql<Date>`now() + make_interval(secs => ${seconds}::double precision)`;
      await tx
        .updateTable('account')
        .set({ retained_at: now, purge_after: purgeAfter })
        .where('id', '=', action.id)
        .where(stillOf(action.uid))
        .execute();
      return;
    }
    case 'retire-alias':
      await tx
        .updateTable('alias')
        .set({ retained_at: now })
        .where('id', '=', action.id)
        .where(stillOf(action.uid))
        .execute();
      return;
    case 'retire-domain':
      await tx
        .updateTable('domain')
        .set({ retained_at: now })
        .where('id', '=', action.id)
        .where(stillOf(action.uid))
        .execute();
      return;
    case 'release':
      await sql`update ${sql.table(action.table)} set managed_by = 'nobody', resource_uid = null, resource_name = null,
        spec_hash = null where id = ${action.id} and resource_uid = ${action.uid}`.execute(tx);
      return;
    default:
      unreachable(action);
  }
}

/** Nobody has taken the row up meanwhile. */
function stillOf(uid: string | null) {
  return sql<boolean>`resource_uid is not distinct from ${uid}::uuid`;
}

async function putDomain(tx: Kysely<Database>, id: bigint | null, wanted: WantedDomain): Promise<void> {
  const values = {
    ...managedColumns(wanted),
    subaddress_delimiter: wanted.subaddressDelimiter,
    catch_all_local: wanted.catchAll?.localPart ?? null,
    catch_all_domain: wanted.catchAll?.domain ?? null,
    suspended: wanted.suspended,
    ...limitColumns(wanted.limits),
    dkim_algorithms: [...wanted.dkim.algorithms],
    dkim_rotation_seconds: wanted.dkim.rotationSeconds === null ? null : BigInt(wanted.dkim.rotationSeconds),
    dkim_overlap_seconds: BigInt(wanted.dkim.overlapSeconds),
    max_message_bytes: wanted.maxMessageBytes,
    requires_inbound_tls: wanted.requiresInboundTls,
  };
  if (id !== null) {
    await tx.updateTable('domain').set(values).where('id', '=', id).execute();
    return;
  }
  await tx
    .insertInto('domain')
    .values({ ...values, name: wanted.name })
    .execute();
  await addDomainName(tx, wanted.name, wanted.name);
}

async function renameDomain(
  tx: Kysely<Database>,
  { id, uid, name, isGivenUp }: Extract<Action, { readonly do: 'rename-domain' }>,
): Promise<void> {
  await tx
    .updateTable('domain')
    .set({ name, retained_at: sql<Date>`coalesce(retained_at, now())` })
    .where('id', '=', id)
    .where(stillOf(uid))
    .returning('id')
    .executeTakeFirstOrThrow();
  if (isGivenUp) await tx.deleteFrom('domain_name').where('domain_id', '=', id).execute();
}

async function addDomainName(tx: Kysely<Database>, name: string, domain: string): Promise<void> {
  await tx
    .insertInto('domain_name')
    .values({ name, domain_id: domainId(domain) })
    .execute();
}

async function putAccount(tx: Kysely<Database>, id: AccountId | null, wanted: WantedAccount): Promise<void> {
  const values = {
    ...managedColumns(wanted),
    display_name: wanted.displayName,
    quota_bytes: wanted.quotaBytes,
    suspended: wanted.suspended,
    deletion_grace_seconds: BigInt(wanted.graceSeconds),
    purge_after: null,
    ...limitColumns(wanted.limits),
    recipients_per_message: wanted.limits.recipientsPerMessage,
    saves_sent: wanted.savesSent,
  };
  if (id !== null) {
    await tx.updateTable('account').set(values).where('id', '=', id).execute();
    return;
  }
  const made = await tx
    .insertInto('account')
    .values({ ...values, domain_id: domainId(wanted.domain), local_part: wanted.localPart })
    .returning('id')
    .executeTakeFirstOrThrow();
  await addAddress(tx, wanted, { account_id: made.id });
}

async function putAlias(tx: Kysely<Database>, id: bigint | null, wanted: WantedAlias): Promise<void> {
  const aliasId = id ?? (await insertAlias(tx, wanted));
  if (id !== null) {
    await tx
      .updateTable('alias')
      .set({ ...managedColumns(wanted), send_as: wanted.sendAs })
      .where('id', '=', id)
      .execute();
    await tx.deleteFrom('alias_member').where('alias_id', '=', id).execute();
  }
  await tx
    .insertInto('alias_member')
    .values(
      wanted.members.map(({ localPart, domain }) => ({
        alias_id: aliasId,
        local_part: localPart,
        domain_name: domain,
      })),
    )
    .execute();
}

async function insertAlias(tx: Kysely<Database>, wanted: WantedAlias): Promise<bigint> {
  const { id } = await tx
    .insertInto('alias')
    .values({
      ...managedColumns(wanted),
      domain_id: domainId(wanted.domain),
      local_part: wanted.localPart,
      send_as: wanted.sendAs,
    })
    .returning('id')
    .executeTakeFirstOrThrow();
  await addAddress(tx, wanted, { alias_id: id });
  return id;
}

async function addAddress(
  tx: Kysely<Database>,
  { domain, localPart }: Named,
  owner: { readonly account_id: AccountId } | { readonly alias_id: bigint },
): Promise<void> {
  await tx
    .insertInto('address')
    .values({ ...owner, domain_id: domainId(domain), local_part: localPart })
    .execute();
}

/** What a row that follows a resource has; a retained one is taken up again. */
function managedColumns(wanted: WantedDomain | WantedAccount | WantedAlias) {
  return {
    resource_uid: wanted.uid,
    resource_name: wanted.resourceName,
    deletion_policy: wanted.deletionPolicy,
    retained_at: null,
    managed_by: 'reconciler' as const,
    spec_hash: wanted.specHash,
  };
}

/** Rows that the plan makes have no id yet; names do for both. */
function domainId(name: string) {
  return sql<bigint>`(select id from domain where name = ${name})`;
}

/** `uid`: of the resource that it must follow; any will do unless told. */
async function accountIdOf(
  tx: Kysely<Database>,
  { domain, localPart }: Named,
  uid: string | null = null,
): Promise<AccountId> {
  const { id } = await tx
    .selectFrom('account')
    .select('id')
    .where('domain_id', '=', domainId(domain))
    .where('local_part', '=', localPart)
    .$if(uid !== null, (query) => query.where('resource_uid', '=', uid))
    .executeTakeFirstOrThrow();
  return id;
}

async function aliasIdOf(tx: Kysely<Database>, { domain, localPart }: Named): Promise<bigint> {
  const { id } = await tx
    .selectFrom('alias')
    .select('id')
    .where('domain_id', '=', domainId(domain))
    .where('local_part', '=', localPart)
    .executeTakeFirstOrThrow();
  return id;
}
