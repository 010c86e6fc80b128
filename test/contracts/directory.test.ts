import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AccountId } from '#shared/base/ids.ts';
import { createDatabase } from '#shared/db/client.ts';
import type { PostgresDatabase } from '#shared/db/client.ts';
import { canonicalAddress, parseAddress } from '#shared/text/address.ts';
import type { MailAddress } from '#shared/text/address.ts';
import { createMemoryDirectory } from '#server/store/memory-directory.ts';
import type { MemoryDirectoryContents } from '#server/store/memory-directory.ts';
import { createPgDirectory } from '#server/store/pg-directory.ts';
import { createPgLoginDirectory, loginRows } from '#server/store/pg-directory-logins.ts';
import { recipientAccounts, recipientFacts } from '#server/store/pg-recipient-facts.ts';
import { createTestDatabase } from '../harness/database.ts';
import type { TestDatabase } from '../harness/database.ts';
import { directoryContract } from './directory.ts';

let server: TestDatabase;
let database: PostgresDatabase;
let recipients: ReturnType<typeof createPgDirectory>;

beforeAll(async () => {
  server = await createTestDatabase();
  database = createDatabase({ url: server.url });
  recipients = createPgDirectory(database);
});
afterAll(async () => {
  await recipients[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

directoryContract('in memory', async (contents) => {
  const directory = createMemoryDirectory(contents);
  return {
    recipients: directory,
    logins: directory,
    accountId: (address) => directory.accountId(address),
    lastUse: async (accountId, id) => directory.lastUse({ accountId, id }),
  };
});

directoryContract('in Postgres', async (contents) => {
  const { db } = database;
  const accounts = await fill(contents);
  return {
    recipients,
    logins: createPgLoginDirectory(db),
    accountId: (address) => {
      const id = accounts.get(address);
      if (id === undefined) throw new Error(`no account has the address ${address}`);
      return id;
    },
    lastUse: async (accountId, id) => {
      const { last_used_at } = await db
        .selectFrom('credential')
        .select('last_used_at')
        .where('account_id', '=', accountId)
        .where('id', '=', id)
        .executeTakeFirstOrThrow();
      return last_used_at;
    },
  };
});

test('a database that can’t be reached is "unavailable", never "unknown"', async () => {
  await using closed = createDatabase({ url: 'postgres://postgres@127.0.0.1:1/none' });
  await using unreachable = createPgDirectory(closed);
  const logins = createPgLoginDirectory(closed.db);
  const unavailable = { fault: { kind: 'unavailable' } };
  await expect(unreachable.resolveRecipient('alice@example.org', 0)).rejects.toMatchObject(unavailable);
  await expect(unreachable.maySendAs(1n as AccountId, 'alice@example.org')).rejects.toMatchObject(unavailable);
  await expect(unreachable.findPostmaster()).rejects.toMatchObject(unavailable);
  await expect(logins.accountByLogin('alice@example.org')).rejects.toMatchObject(unavailable);
  await expect(logins.findOrMakeAccount('alice@example.org')).rejects.toMatchObject(unavailable);
});

test('members send as an alias that says so, until their account or its domain is suspended', async () => {
  const { db } = database;
  const accounts = await fill({
    domains: [{ name: 'open.test' }, { name: 'own.test' }],
    accounts: [{ address: 'alice@own.test' }, { address: 'bob@own.test' }],
    aliases: [{ address: 'sales@open.test', members: ['alice@own.test', 'bob@own.test'] }],
  });
  const alice = accounts.get('alice@own.test') as AccountId;
  const maySend = () => recipients.maySendAs(alice, 'Sales@open.test');
  expect(await maySend()).toBe(false);
  await db.updateTable('alias').set({ send_as: true }).execute();
  expect(await maySend()).toBe(true);
  const own = db.updateTable('domain').where('name', '=', 'own.test');
  await own.set({ suspended: true }).execute();
  expect(await maySend()).toBe(false);
  await own.set({ suspended: false }).execute();
  await db.updateTable('account').where('id', '=', alice).set({ suspended: true }).execute();
  expect(await maySend()).toBe(false);
});

test('that an account takes mail is remembered for a moment, and nothing else', async () => {
  const { db } = database;
  const accounts = await fill({
    domains: [{ name: 'example.org' }],
    accounts: [
      { address: 'alice@example.org' },
      { address: 'bob@example.org', quotaBytes: 2n ** 30n },
      { address: 'carol@example.org', quotaBytes: 2n ** 20n },
    ],
  });
  const [alice, bob, carol] = [...accounts.values()] as [AccountId, AccountId, AccountId];
  const names = ['alice@example.org', 'bob@example.org', 'carol@example.org', 'dave@example.org'];
  const kindsOf = async (of: typeof recipients): Promise<readonly string[]> =>
    (await Promise.all(names.map((name) => of.resolveRecipient(name, 0)))).map(({ kind }) => kind);
  await using long = createPgDirectory(database, 600_000);
  await using short = createPgDirectory(database, 20);
  expect(await kindsOf(long)).toEqual(['local', 'local', 'local', 'unknown']);
  await kindsOf(short);
  await db.updateTable('account').where('id', 'in', [alice, bob, carol]).set({ suspended: true }).execute();
  // Carol's quota may be full the next time.
  expect(await kindsOf(long)).toEqual(['local', 'local', 'suspended', 'unknown']);
  expect(await long.maySendAs(alice, 'alice@example.org')).toBe(false);
  expect(await kindsOf(recipients)).toEqual(['suspended', 'suspended', 'suspended', 'unknown']);
  await expect.poll(() => kindsOf(short)).toEqual(['suspended', 'suspended', 'suspended', 'unknown']);
  await db.updateTable('account').where('id', '=', carol).set({ suspended: false }).execute();
  // A refusal is not remembered.
  expect(await kindsOf(long)).toEqual(['local', 'local', 'local', 'unknown']);
});

test('RCPT and login find one of many addresses through the indexes', async () => {
  const { db } = database;
  await fill({ domains: [{ name: 'example.org', catchAll: 'u1@example.org' }] });
  await sql`with made as (
      insert into account (domain_id, local_part, managed_by)
        select domain.id, 'u' || n, 'nobody' from domain, generate_series(1, 5000) n returning id, domain_id, local_part
    ) insert into address (domain_id, local_part, account_id) select domain_id, local_part, id from made`.execute(db);
  await sql`insert into credential (account_id, id, kind, password_hash, scram_sha256, scram_sha1, seal_key_id, managed_by)
      select id, gen_random_uuid(), 'primary', '', '', '', '', 'user' from account`.execute(db);
  // Few aliases among many addresses: what tempts the planner to read all of them.
  await sql`with made as (
      insert into alias (domain_id, local_part, managed_by) select id, 'team', 'nobody' from domain returning id, domain_id, local_part
    ) insert into address (domain_id, local_part, alias_id) select domain_id, local_part, id from made`.execute(db);
  await sql`insert into alias_member select alias.id, 'u' || n, 'example.org' from alias, generate_series(1, 10) n`.execute(
    db,
  );
  for (const table of [
    'alias',
    'domain',
    'address',
    'account',
    'account_state',
    'alias_member',
    'credential',
    'domain_name',
  ]) {
    await sql`analyze ${sql.table(table)}`.execute(db);
  }
  const address = { localPart: 'u77+x', domain: 'example.org' };
  const login = loginRows({ ...address, localPart: 'u77' }).compile(db);
  for (const { text, values: parameters = [] } of [
    recipientAccounts([address]),
    recipientFacts([address]),
    { text: login.sql, values: [...login.parameters] },
  ]) {
    const plain = text.replaceAll(/\$(\d+)/g, (_, n: string) => literal(parameters[Number(n) - 1]));
    const { rows } = await sql<Record<string, string>>`explain ${sql.raw(plain)}`.execute(db);
    const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
    expect(plan).toContain('address_pkey');
    expect(plan).not.toMatch(/Seq Scan on (?:address|account|account_state|credential)\b/);
  }
});

function literal(value: unknown): string {
  if (Array.isArray(value)) return `'{${value.join()}}'`;
  return typeof value === 'number' ? String(value) : `'${value as string}'`;
}

/** Makes the directory of `contents`, in place of what was there. Resolves with the accounts by their addresses. */
async function fill(contents: MemoryDirectoryContents): Promise<ReadonlyMap<string, AccountId>> {
  const { db } = database;
  await db.deleteFrom('alias').execute();
  await db.deleteFrom('account').execute();
  await db.deleteFrom('domain').execute();
  const domains = new Map<string, bigint>();
  for (const { name, aliasDomains = [], subaddressDelimiter = '+', catchAll, suspended = false } of contents.domains) {
    const target = catchAll === undefined ? null : parse(catchAll);
    const { id } = await db
      .insertInto('domain')
      .values({
        name,
        subaddress_delimiter: subaddressDelimiter,
        catch_all_local: target?.localPart ?? null,
        catch_all_domain: target?.domain ?? null,
        suspended,
        managed_by: 'nobody',
      })
      .returning('id')
      .executeTakeFirstOrThrow();
    for (const each of [name, ...aliasDomains]) {
      domains.set(each, id);
      await db.insertInto('domain_name').values({ name: each, domain_id: id }).execute();
    }
  }
  const domainId = ({ domain }: MailAddress): bigint => domains.get(domain) ?? 0n;
  const accounts = new Map<string, AccountId>();
  for (const account of contents.accounts ?? []) {
    accounts.set(account.address, await addAccount(account, domainId));
  }
  for (const { address, members } of contents.aliases ?? []) {
    const own = { domain_id: domainId(parse(address)), local_part: parse(address).localPart };
    const { id } = await db
      .insertInto('alias')
      .values({ ...own, managed_by: 'nobody' })
      .returning('id')
      .executeTakeFirstOrThrow();
    await db
      .insertInto('address')
      .values({ ...own, alias_id: id })
      .execute();
    for (const { localPart, domain } of members.map(parse)) {
      await db
        .insertInto('alias_member')
        .values({ alias_id: id, local_part: localPart, domain_name: domain })
        .execute();
    }
  }
  return accounts;
}

async function addAccount(
  account: NonNullable<MemoryDirectoryContents['accounts']>[number],
  domainId: (address: MailAddress) => bigint,
): Promise<AccountId> {
  const { db } = database;
  const own = parse(account.address);
  const { id } = await db
    .insertInto('account')
    .values({
      domain_id: domainId(own),
      local_part: own.localPart,
      quota_bytes: account.quotaBytes ?? null,
      suspended: account.suspended ?? false,
      retained_at: account.retained ? new Date() : null,
      managed_by: 'nobody',
    })
    .returning('id')
    .executeTakeFirstOrThrow();
  await db
    .updateTable('account_state')
    .set({ used_bytes: account.usedBytes ?? 0n })
    .where('account_id', '=', id)
    .execute();
  for (const address of [own, ...(account.aliases ?? []).map(parse)]) {
    await db
      .insertInto('address')
      .values({ domain_id: domainId(address), local_part: address.localPart, account_id: id })
      .execute();
  }
  for (const [i, credential] of (account.credentials ?? []).entries()) {
    await db
      .insertInto('credential')
      .values({
        account_id: id,
        id: credential.id,
        kind: i === 0 ? 'primary' : 'app',
        password_hash: credential.passwordHash,
        version: credential.version,
        scram_sha256: Buffer.alloc(0),
        scram_sha1: Buffer.alloc(0),
        seal_key_id: 'none',
        managed_by: 'user',
      })
      .execute();
  }
  return id;
}

function parse(text: string): MailAddress {
  const address = parseAddress(text);
  if (!address) throw new Error(`${text} is no address`);
  return canonicalAddress(address);
}
