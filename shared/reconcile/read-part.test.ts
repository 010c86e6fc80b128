import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDatabase, type PostgresDatabase } from '#shared/db/client.ts';
import { addressKey } from '#shared/provisioning/wanted.ts';
import { domainOf, mailboxOf, passInput, testKeyring, type Manifest } from '../../test/harness/cluster-resources.ts';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { applyActions } from './apply-actions.ts';
import { directoryPass } from './directory-pass.ts';
import { newPassword } from './new-password.ts';
import { readDirectory, readPart, type StoredDirectory } from './read-directory.ts';

let server: TestDatabase;
let database: PostgresDatabase;

const manifests: readonly Manifest[] = [
  domainOf('a/org', 'example.org', { aliasDomains: ['example.com'], allowedNamespaces: { from: 'All' } }),
  domainOf('a/net', 'example.net'),
  mailboxOf('a/alice', 'alice@example.org', { aliases: ['sales@example.org', 'alice@example.net'] }),
  mailboxOf('a/bob', 'bob@example.org', { aliases: ['robert@example.org'] }),
  mailboxOf('a/carol', 'carol@example.net'),
  { kind: 'MailAlias', name: 'a/team', spec: { address: 'team@example.org', members: ['alice@example.org'] } },
  { kind: 'MailAlias', name: 'a/all', spec: { address: 'all@example.net', members: ['carol@example.net'] } },
];

beforeAll(async () => {
  server = await createTestDatabase();
  database = createDatabase({ url: server.url });
  const { db } = database;
  const { actions } = directoryPass(passInput(await readDirectory(db), manifests));
  const passwords = new Map(
    await Promise.all(
      actions.flatMap((action) =>
        action.do === 'set-password'
          ? [newPassword(testKeyring, action.account.password, action.uid).then((made) => [action.uid, made] as const)]
          : [],
      ),
    ),
  );
  await applyActions({ db, actions, keyring: testKeyring, epoch: null, passwords });
});
afterAll(async () => {
  await database[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

const uidOf = (all: StoredDirectory, name: string): string =>
  all.accounts.find(({ resourceName }) => resourceName === name)?.resourceUid ?? '';

test.each<[string, readonly string[], readonly string[], readonly string[], readonly string[]]>([
  ['a row by its resource', ['a/alice'], [], ['a/alice'], []],
  ['a row by its address', [], ['carol@example.net'], ['a/carol'], []],
  ['a row by a further address', ['a/bob'], ['alice@example.net'], ['a/alice', 'a/bob'], []],
  ['an alias by its address', ['a/carol'], ['team@example.org', 'nobody@example.org'], ['a/carol'], ['a/team']],
  ['nothing at a domain that is not here', [], ['alice@example.info'], [], []],
  ['nothing', [], [], [], []],
])('%s is read as it is among all', async (_, names, addresses, accounts, aliases) => {
  const all = await readDirectory(database.db);
  const part = await readPart(database.db, {
    uids: new Set(names.map((name) => uidOf(all, name))),
    addresses: addresses.map((text) => {
      const [localPart = '', domain = ''] = text.split('@');
      return { localPart, domain };
    }),
  });
  const isNamed = (wanted: readonly string[]) => (row: { readonly resourceName: string | null }) =>
    wanted.includes(row.resourceName ?? '');
  const ids = new Set(all.accounts.filter(isNamed(accounts)).map(({ id }) => id));
  expect(part).toEqual({
    domains: all.domains,
    accounts: all.accounts.filter(isNamed(accounts)),
    aliases: all.aliases.filter(isNamed(aliases)),
    routes: [],
    credentials: [],
    primaries: new Map([...all.primaries].filter(([id]) => ids.has(id))),
  });
  expect(part.accounts).toHaveLength(accounts.length);
  expect(part.aliases).toHaveLength(aliases.length);
  expect(part.primaries.size).toBe(accounts.length);
});

test('a row whose own address leads elsewhere is found by its name', async () => {
  const { db } = database;
  await sql`delete from address where local_part = 'carol'`.execute(db);
  const { accounts } = await readPart(db, {
    uids: new Set(),
    addresses: [{ localPart: 'carol', domain: 'example.net' }],
  });
  expect(accounts.map(addressKey)).toEqual(['carol@example.net']);
  expect(accounts.map(({ hasOwnAddress }) => hasOwnAddress)).toEqual([false]);
});
