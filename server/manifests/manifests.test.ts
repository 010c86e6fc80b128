import { cp, mkdtemp, readdir, readFile, rm, stat, unlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { sql } from 'kysely';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { parse } from 'yaml';
import { systemClock } from '#shared/base/clock.ts';
import { createDatabase } from '#shared/db/client.ts';
import type { PostgresDatabase } from '#shared/db/client.ts';
import { deriveVerifiers, isPasswordOf, setPrimaryPassword } from '#shared/directory/credentials.ts';
import { createKeyring } from '#shared/directory/keyring.ts';
import { createMetrics } from '#shared/observe/metrics.ts';
import { createAuthenticator } from '#server/accounts/password-authenticator.ts';
import { createPgDirectory } from '#server/store/pg-directory.ts';
import { createPgLoginDirectory } from '#server/store/pg-directory-logins.ts';
import { createTestDatabase } from '../../test/harness/database.ts';
import type { TestDatabase } from '../../test/harness/database.ts';
import { followManifests } from './follow.ts';
import { Reconciler } from './reconcile.ts';
import type { ReconcilerOptions } from './reconcile.ts';
import type { ManifestSummary } from './summary.ts';

// Counts comparisons; they are made all the same.
vi.mock('#shared/directory/credentials.ts', { spy: true });

const keyring = createKeyring(new Map([['k', Buffer.alloc(32, 7)]]), 'k');
let server: TestDatabase;
let database: PostgresDatabase;
let folder = '';
let lines: string[] = [];

beforeAll(async () => {
  server = await createTestDatabase();
  database = createDatabase({ url: server.url });
});
afterAll(async () => {
  await database[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});
beforeEach(async () => {
  lines = [];
  folder = await mkdtemp(path.join(os.tmpdir(), 'manifests-'));
  await cp('examples', path.join(folder, 'manifests'), { recursive: true });
  for (const table of ['mail_credential', 'alias', 'account', 'domain', 'mail_route'] as const)
    await database.db.deleteFrom(table).execute();
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

function options(): ReconcilerOptions {
  return {
    db: database.db,
    keyring,
    logger: pino({}, { write: (line: string) => void lines.push(line) }),
    metrics: createMetrics(),
    manifestsFolder: path.join(folder, 'manifests'),
    secretsFolder: path.join(folder, 'secrets'),
  };
}

const reconcile = (): Promise<ManifestSummary> => new Reconciler(options()).reconcile();
const manifest = (name: string): string => path.join(folder, 'manifests', name);
const secret = (name: string): string => path.join(folder, 'secrets', name);

function resource(kind: string, name: string, spec: string): string {
  return `apiVersion: postrider.dev/v1alpha1\nkind: ${kind}\nmetadata: {name: ${name}}\nspec: ${spec}\n`;
}

async function logIn(login: string, password: string): Promise<boolean> {
  const { logger, metrics } = { logger: pino({ level: 'silent' }), metrics: createMetrics() };
  const directory = createPgLoginDirectory(database.db);
  await using authenticator = createAuthenticator({
    directory,
    clock: systemClock,
    logger,
    metrics,
    developmentMode: false,
  });
  const about = { protocol: 'imap', mechanism: 'PLAIN', remoteAddress: '192.0.2.1' } as const;
  return (await authenticator.authenticate({ login, password, ...about })).ok;
}

async function recipients(address: string): Promise<readonly string[]> {
  await using directory = createPgDirectory(database);
  const verdict = await directory.resolveRecipient(address, 0);
  return verdict.kind === 'local' ? verdict.accounts.map((account) => account.address).toSorted() : [verdict.kind];
}

/** Every version of every row: two equal ones, and nothing was written between. */
async function rowVersions(): Promise<string> {
  const tables = [
    'domain',
    'domain_name',
    'account',
    'address',
    'alias',
    'alias_member',
    'credential',
    'mail_route',
    'mail_credential',
    'mail_credential_password',
  ];
  const versions = await Promise.all(
    tables.map(
      async (table) => (await sql`select xmin::text, ctid::text from ${sql.table(table)}`.execute(database.db)).rows,
    ),
  );
  return JSON.stringify(versions);
}

describe('the examples', () => {
  test('make accounts whose passwords work, and addresses that lead to them', async () => {
    const summary = await reconcile();
    expect(summary).toMatchObject({
      domains: ['example.test'],
      accounts: [
        {
          address: 'alice@example.test',
          aliases: ['sales@example.test', 'postmaster@example.test'],
          isSuspended: false,
        },
        { address: 'bob@example.test', aliases: [] },
      ],
      aliases: [{ address: 'team@example.test', members: ['alice@example.test', 'bob@example.test'] }],
    });
    for (const { address, password } of summary.accounts) {
      expect(password).toMatch(/^[a-zA-Z2-9]{32}$/);
      expect(await logIn(address, password ?? '')).toBe(true);
    }
    expect(await logIn('sales@example.test', summary.accounts[0]?.password ?? '')).toBe(true);
    expect(await logIn('alice@example.test', summary.accounts[1]?.password ?? '')).toBe(false);
    expect(await recipients('team@example.test')).toEqual(['alice@example.test', 'bob@example.test']);
    expect(await recipients('alice+tag@example.test')).toEqual(['alice@example.test']);
    expect(await recipients('nobody@example.test')).toEqual(['unknown']);
  });

  test('each account has its mailboxes', async () => {
    await reconcile();
    const { rows } = await sql<{ n: bigint }>`select count(*) as n from mailbox where name = 'INBOX'`.execute(
      database.db,
    );
    expect(rows[0]?.n).toBe(2n);
  });

  test('a generated password is a Secret that only its owner reads', async () => {
    const { accounts } = await reconcile();
    expect(await readdir(path.join(folder, 'secrets'))).toEqual([
      'default.alice.yaml',
      'default.bob.yaml',
      'smtp_default.shop.yaml',
    ]);
    expect((await stat(secret('default.alice.yaml'))).mode & 0o777).toBe(0o600);
    expect((await stat(path.join(folder, 'secrets'))).mode & 0o777).toBe(0o700);
    expect(accounts[0]?.secretFile).toBe(secret('default.alice.yaml'));
    expect(parse(await readFile(secret('default.alice.yaml'), 'utf8'))).toMatchObject({
      kind: 'Secret',
      metadata: { name: 'alice-mailbox', namespace: 'default' },
      stringData: { username: 'alice@example.test', password: accounts[0]?.password },
    });
  });

  test('a second run writes nothing, also in another process', async () => {
    const first = await reconcile();
    const before = await rowVersions();
    const second = await reconcile();
    expect(second).toEqual({ ...first, changes: 0 });
    expect(await rowVersions()).toBe(before);
  });

  test('an unchanged Secret is known by its tag, without a hash', async () => {
    await reconcile();
    const before = vi.mocked(isPasswordOf).mock.calls.length;
    expect((await reconcile()).accounts[0]?.password).toMatch(/^[a-zA-Z2-9]{32}$/);
    expect(vi.mocked(isPasswordOf).mock.calls.length).toBe(before);
    // As a release wrote them that had no tags.
    await database.db.updateTable('credential').set({ secret_tag: null }).execute();
    expect((await reconcile()).changes).toBe(0);
    expect(vi.mocked(isPasswordOf).mock.calls.length).toBe(before + 2);
    await reconcile();
    expect(vi.mocked(isPasswordOf).mock.calls.length).toBe(before + 2);
  });

  test('a tag is of one password: one that somebody else set is set back', async () => {
    const [alice] = (await reconcile()).accounts;
    const other = await deriveVerifiers('another');
    const { id: accountId } = await database.db
      .selectFrom('account')
      .select('id')
      .where('local_part', '=', 'alice')
      .executeTakeFirstOrThrow();
    const { secret_tag } = await database.db
      .selectFrom('credential')
      .select('secret_tag')
      .where('account_id', '=', accountId)
      .executeTakeFirstOrThrow();
    await database.db.transaction().execute(async (tx) => {
      await setPrimaryPassword(tx, keyring, accountId, { verifiers: other, managedBy: 'user', secret: null });
      // As a release does that has no tags.
      await tx.updateTable('credential').set({ secret_tag }).where('account_id', '=', accountId).execute();
    });
    expect(await logIn('alice@example.test', 'another')).toBe(true);
    expect((await reconcile()).changes).toBe(1);
    expect(await logIn('alice@example.test', 'another')).toBe(false);
    expect(await logIn('alice@example.test', alice?.password ?? '')).toBe(true);
  });

  test('a password that is set once is its owner’s, and is not compared from then on', async () => {
    const spec = `{address: carol@example.test, password: {mode: Initial, secretRef: {name: first}}}`;
    const given = `apiVersion: v1\nkind: Secret\nmetadata: {name: first}\nstringData: {password: first one}\n`;
    await writeFile(manifest('90-carol.yaml'), `${resource('Mailbox', 'carol', spec)}---\n${given}`);
    const carol = ({ accounts }: ManifestSummary) => accounts.find(({ address }) => address === 'carol@example.test');
    expect(carol(await reconcile())?.password).toBe('first one');
    expect(carol(await reconcile())?.password).toBe('first one');
    const { id } = await database.db
      .selectFrom('account')
      .select('id')
      .where('local_part', '=', 'carol')
      .executeTakeFirstOrThrow();
    const verifiers = await deriveVerifiers('her own');
    await database.db
      .transaction()
      .execute((tx) => setPrimaryPassword(tx, keyring, id, { verifiers, managedBy: 'user', secret: null }));
    const before = vi.mocked(isPasswordOf).mock.calls.length;
    expect(await reconcile()).toMatchObject({ changes: 0 });
    expect(carol(await reconcile())?.password).toBeNull();
    expect(vi.mocked(isPasswordOf).mock.calls.length).toBe(before);
    expect(await logIn('carol@example.test', 'her own')).toBe(true);
  });

  test('many passwords are set in rounds, each committed for itself', async () => {
    const many = Array.from({ length: 5 }, (_, n) => resource('Mailbox', `m${n}`, `{address: m${n}@example.test}`));
    await writeFile(manifest('90-many.yaml'), many.join('---\n'));
    const { accounts, changes } = await new Reconciler({ ...options(), passwordsARound: 3 }).reconcile();
    expect(changes).toBe(1 + 7 + 2 + 1 + 1 + 7 + 2);
    expect(accounts.map(({ password }) => password?.length)).toEqual(Array.from({ length: 7 }, () => 32));
    const rounds = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(rounds.filter(({ event }) => event === 'manifest.passwords').map(({ later }) => later)).toEqual([5, 2]);
    const [last] = accounts.toReversed();
    expect(await logIn(last?.address ?? '', last?.password ?? '')).toBe(true);
    expect((await reconcile()).changes).toBe(0);
  });

  test('two processes at once agree', async () => {
    const [one, two] = await Promise.all([reconcile(), reconcile()]);
    expect(two.accounts).toEqual(one.accounts);
    for (const { address, password } of one.accounts) expect(await logIn(address, password ?? '')).toBe(true);
  });

  test('no password reaches the log', async () => {
    const { accounts } = await reconcile();
    for (const { password } of accounts) expect(lines.join('')).not.toContain(password);
  });
});

describe('changes', () => {
  test('an edited generated Secret is a rotation, a removed one too', async () => {
    const { accounts } = await reconcile();
    const old = accounts[0]?.password ?? '';
    const text = await readFile(secret('default.alice.yaml'), 'utf8');
    await writeFile(secret('default.alice.yaml'), text.replace(old, 'my own words'));
    await reconcile();
    expect(await logIn('alice@example.test', 'my own words')).toBe(true);
    expect(await logIn('alice@example.test', old)).toBe(false);
    await unlink(secret('default.alice.yaml'));
    const again = await reconcile();
    expect(again.accounts[0]?.password).not.toBe('my own words');
    expect(await logIn('alice@example.test', again.accounts[0]?.password ?? '')).toBe(true);
    expect(await logIn('alice@example.test', 'my own words')).toBe(false);
    const { version } = await database.db
      .selectFrom('credential')
      .select('version')
      .orderBy('version', 'desc')
      .executeTakeFirstOrThrow();
    expect(version).toBe(3n);
  });

  test('a Secret of one’s own', async () => {
    const spec = '{address: carol@example.test, password: {mode: SecretRef, secretRef: {name: mine, key: pw}}}';
    await writeFile(
      manifest('carol.yaml'),
      `${resource('Mailbox', 'carol', spec)}---\napiVersion: v1\nkind: Secret\nmetadata: {name: mine}\ndata: {pw: ${Buffer.from('geheim\n').toString('base64')}}\n`,
    );
    await reconcile();
    expect(await logIn('carol@example.test', 'geheim')).toBe(true);
    expect(await readdir(path.join(folder, 'secrets'))).not.toContain('default.carol.yaml');
  });

  test('Retain: no login, no mail; the same account when the manifest is back', async () => {
    const { accounts } = await reconcile();
    const id = () =>
      database.db.selectFrom('account').select('id').where('local_part', '=', 'bob').executeTakeFirstOrThrow();
    const before = await id();
    const text = await readFile(manifest('20-mailboxes.yaml'), 'utf8');
    const alias = await readFile(manifest('30-team.yaml'), 'utf8');
    await writeFile(manifest('20-mailboxes.yaml'), text.slice(0, text.indexOf('---')));
    await writeFile(manifest('30-team.yaml'), alias.replace(', bob@example.test', ''));
    await reconcile();
    expect(await logIn('bob@example.test', accounts[1]?.password ?? '')).toBe(false);
    expect(await recipients('bob@example.test')).toEqual(['unknown']);
    await writeFile(manifest('20-mailboxes.yaml'), text);
    await reconcile();
    expect(await id()).toEqual(before);
    expect(await logIn('bob@example.test', accounts[1]?.password ?? '')).toBe(true);
  });

  test('Delete: after the grace period the account, its mail and its Secret are gone', async () => {
    const spec = '{address: dave@example.test, deletionPolicy: Delete, deletionGracePeriod: 1h}';
    await writeFile(manifest('dave.yaml'), resource('Mailbox', 'dave', spec));
    await reconcile();
    await unlink(manifest('dave.yaml'));
    await reconcile();
    expect(await recipients('dave@example.test')).toEqual(['unknown']);
    expect(await readdir(path.join(folder, 'secrets'))).toContain('default.dave.yaml');
    await sql`update account set purge_after = purge_after - interval '61 minutes'`.execute(database.db);
    await reconcile();
    expect(await database.db.selectFrom('account').select('id').where('local_part', '=', 'dave').execute()).toEqual([]);
    const { rows } = await sql`select from mailbox where account_id not in (select id from account)`.execute(
      database.db,
    );
    expect(rows).toEqual([]);
    expect(await readdir(path.join(folder, 'secrets'))).not.toContain('default.dave.yaml');
  });

  test('a route follows its manifest and its Secret, and goes with them', async () => {
    const relay = '{targets: [{type: Smarthost, host: a.example, authSecretRef: {name: relay}}]}';
    const withPassword = (password: string): string =>
      `${resource('MailRoute', 'relay', relay)}---\napiVersion: v1\nkind: Secret\nmetadata: {name: relay}\nstringData: {username: u, password: ${password}}\n`;
    const stored = async (): Promise<readonly string[]> => {
      const rows = await database.db.selectFrom('mail_route').selectAll().orderBy('resource_name').execute();
      return rows.map(({ resource_name, resource_uid, secrets, seal_key_id }) => {
        const sealed = { keyId: seal_key_id, bytes: secrets ?? Buffer.alloc(0) };
        const opened = keyring.open(sealed, `mail-route ${resource_uid} secrets`).toString();
        return `${resource_name} ${/"password":"([^"]*)"/.exec(opened)?.[1] ?? ''}`;
      });
    };
    await writeFile(manifest('50-relay.yaml'), withPassword('one'));
    await reconcile();
    expect(await stored()).toEqual(['default/nobody ', 'default/relay one']);
    expect((await reconcile()).changes).toBe(0);
    await writeFile(manifest('50-relay.yaml'), withPassword('two'));
    expect((await reconcile()).changes).toBe(1);
    expect(await stored()).toEqual(['default/nobody ', 'default/relay two']);
    await unlink(manifest('50-relay.yaml'));
    expect((await reconcile()).changes).toBe(1);
    expect(await stored()).toEqual(['default/nobody ']);
  });

  test('alias domains, quotas, members and suspension arrive', async () => {
    await reconcile();
    await writeFile(
      manifest('10-domain.yaml'),
      resource(
        'MailDomain',
        'example-test',
        '{domain: example.test, aliasDomains: [example.com], catchAll: bob@example.test}',
      ),
    );
    await writeFile(
      manifest('20-mailboxes.yaml'),
      `${resource('Mailbox', 'alice', '{address: alice@example.test, state: Suspended}')}---\n${resource('Mailbox', 'bob', '{address: bob@example.test, aliases: [sales@example.test]}')}`,
    );
    await reconcile();
    expect(await recipients('alice@example.com')).toEqual(['suspended']);
    expect(await recipients('sales@example.com')).toEqual(['bob@example.test']);
    expect(await recipients('anybody@example.com')).toEqual(['bob@example.test']);
    expect(await recipients('team@example.test')).toEqual(['bob@example.test']);
    const second = await reconcile();
    expect(second.changes).toBe(0);
  });
});

describe('refused, with nothing changed', () => {
  test('all faults at once, each with its place', async () => {
    await reconcile();
    const before = await rowVersions();
    await writeFile(manifest('a.yaml'), resource('Mailbox', 'x', '{address: x@example.test, colour: red}'));
    await writeFile(
      manifest('b.yaml'),
      resource('MailAlias', 'y', '{address: y@example.test, members: [z@gmail.com]}'),
    );
    await writeFile(manifest('c.yaml'), resource('Mailbox', 'z', '{address: team@example.test}'));
    await expect(reconcile()).rejects.toMatchObject({
      exitCode: 78,
      message: expect.stringMatching(
        /^the manifests have 2 faults:\n {2}.*a\.yaml:4:\d+: .*colour.*\n {2}.*team@example\.test is already an address of/,
      ) as string,
    });
    expect(await rowVersions()).toBe(before);
    expect(await readdir(path.join(folder, 'secrets'))).toHaveLength(3);
  });

  test('a member elsewhere', async () => {
    await writeFile(
      manifest('b.yaml'),
      resource('MailAlias', 'y', '{address: y@example.test, members: [z@gmail.com]}'),
    );
    await reconcile();
    const members = await database.db.selectFrom('alias_member').select(['local_part', 'domain_name']).execute();
    expect(members).toContainEqual({ local_part: 'z', domain_name: 'gmail.com' });
  });

  test('a folder that is not there', async () => {
    await rm(path.join(folder, 'manifests'), { recursive: true });
    await expect(reconcile()).rejects.toMatchObject({
      exitCode: 78,
      message: expect.stringContaining('no such folder') as string,
    });
  });

  test('an empty folder where there were manifests', async () => {
    await reconcile();
    for (const name of await readdir(path.join(folder, 'manifests'))) await unlink(manifest(name));
    await expect(reconcile()).rejects.toMatchObject({
      exitCode: 78,
      message: expect.stringContaining('has no MailDomain, but the database has example.test') as string,
    });
    expect(await recipients('bob@example.test')).toEqual(['bob@example.test']);
  });

  test('the keyring of another database', async () => {
    await reconcile();
    const other = createKeyring(new Map([['other', Buffer.alloc(32, 8)]]), 'other');
    await expect(new Reconciler({ ...options(), keyring: other }).reconcile()).rejects.toMatchObject({
      exitCode: 78,
      message: 'the keyring does not open what the database holds (key k)',
    });
  });

  test('an empty folder from the start is an empty directory', async () => {
    for (const name of await readdir(path.join(folder, 'manifests'))) await unlink(manifest(name));
    expect(await reconcile()).toEqual({ domains: [], accounts: [], aliases: [], changes: 0 });
  });
});

describe('while running', () => {
  test('a changed manifest is applied, a bad one is logged and changes nothing', async () => {
    await using followed = await followManifests(options());
    expect(followed.summary.domains).toEqual(['example.test']);
    await writeFile(manifest('carol.yaml'), resource('Mailbox', 'carol', '{address: carol@example.test}'));
    await vi.waitFor(
      async () => expect(await recipients('carol@example.test')).toEqual(['carol@example.test']),
      10_000,
    );
    await writeFile(manifest('carol.yaml'), resource('Mailbox', 'carol', '{address: nonsense}'));
    await vi.waitFor(() => expect(lines.join('')).toContain('manifest.refused'), 10_000);
    expect(await recipients('carol@example.test')).toEqual(['carol@example.test']);
    await unlink(manifest('carol.yaml'));
    await vi.waitFor(async () => expect(await recipients('carol@example.test')).toEqual(['unknown']), 10_000);
  });

  test('SIGHUP has them read again', async () => {
    await using _followed = await followManifests(options());
    await sql`update account set suspended = true where local_part = 'bob'`.execute(database.db);
    expect(await recipients('bob@example.test')).toEqual(['suspended']);
    process.emit('SIGHUP');
    await vi.waitFor(async () => expect(await recipients('bob@example.test')).toEqual(['bob@example.test']), 10_000);
  });
});
