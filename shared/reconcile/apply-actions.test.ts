import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createDatabase } from '#shared/db/client.ts';
import type { PostgresDatabase } from '#shared/db/client.ts';
import type { NewPassword } from '#shared/directory/credentials.ts';
import { readMailCredentialSalts } from '#shared/directory/mail-credentials.ts';
import type { Action } from '#shared/provisioning/plan.ts';
import { domainOf, mailboxOf, passInput, testKeyring } from '../../test/harness/cluster-resources.ts';
import type { Manifest } from '../../test/harness/cluster-resources.ts';
import { createTestDatabase } from '../../test/harness/database.ts';
import type { TestDatabase } from '../../test/harness/database.ts';
import { applyActions } from './apply-actions.ts';
import type { Outcome } from './apply-actions.ts';
import { directoryPass } from './directory-pass.ts';
import type { PassInput } from './directory-pass.ts';
import { StaleEpoch, takeEpoch } from './leader-epoch.ts';
import { newPassword } from './new-password.ts';
import { readDirectory } from './read-directory.ts';

let server: TestDatabase;
let database: PostgresDatabase;

beforeAll(async () => {
  server = await createTestDatabase();
  database = createDatabase({ url: server.url });
});
afterAll(async () => {
  await database[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await sql`truncate domain, account, alias, address, mail_route, mail_credential cascade`.execute(database.db);
});

async function plan(manifests: readonly Manifest[], more: Partial<PassInput> = {}): Promise<readonly Action[]> {
  return directoryPass(passInput(await readDirectory(database.db), manifests, more)).actions;
}

/** What an operator does: passwords that are to be generated have a Secret first. */
async function apply(
  actions: readonly Action[],
  more: { readonly epoch?: bigint; readonly resourcesATransaction?: number } = {},
): Promise<ReadonlyMap<string, Outcome>> {
  const passwords = new Map<string, NewPassword>();
  const uids = actions.flatMap((action) => (action.do === 'set-credential-password' ? [action.uid] : []));
  const salts = await readMailCredentialSalts(database.db, testKeyring, uids);
  for (const action of actions) {
    if (action.do !== 'set-password' && action.do !== 'set-credential-password') continue;
    const { password } = action.do === 'set-password' ? action.account : action.credential;
    if (password.value === null) continue;
    passwords.set(action.uid, await newPassword(testKeyring, password, password.value, salts.get(action.uid)));
  }
  return applyActions({ db: database.db, actions, keyring: testKeyring, epoch: null, passwords, ...more });
}

const secretOf = (name: string, password: string): Manifest => ({ kind: 'Secret', name, data: { password } });
const example = [
  domainOf('a/org', 'example.org', { aliasDomains: ['example.com'], allowedNamespaces: { from: 'All' } }),
  mailboxOf('a/alice', 'alice@example.org', { aliases: ['sales@example.org'], quota: '1Gi' }),
  secretOf('a/alice-mailbox', 'wonderland'),
  mailboxOf('b/bob', 'bob@example.org', { displayName: 'Bob "the" builder' }),
  secretOf('b/bob-mailbox', 'hammer'),
  { kind: 'MailAlias', name: 'a/team', spec: { address: 'team@example.org', members: ['alice@example.org'] } },
  { kind: 'MailRoute', name: 'mail/out', spec: { targets: [{ type: 'Direct' }] } },
  { kind: 'MailCredential', name: 'a/shop', spec: { allowedSenders: ['orders@example.org', '*@example.com'] } },
  secretOf('a/shop-smtp', 'checkout'),
] as const satisfies readonly Manifest[];

const isPassword = (action: Action): boolean => action.do === 'set-password';
const oks = (outcomes: ReadonlyMap<string, Outcome>): readonly boolean[] => [...outcomes.values()].map(({ ok }) => ok);

describe('what a pass plans', () => {
  test.each([1, 2, 250])('is made, %i resources a transaction; a second pass plans nothing', async (most) => {
    const actions = await plan(example);
    expect(new Set(oks(await apply(actions, { resourcesATransaction: most })))).toEqual(new Set([true]));
    expect(await plan(example)).toEqual([]);
  });

  test('passwords that come after their rows are set together', async () => {
    const actions = await plan(example);
    await apply(actions.filter((action) => !isPassword(action)));
    expect(oks(await apply(actions.filter(isPassword)))).toEqual([true, true]);
    const { rows } = await sql`select distinct xmin::text from credential`.execute(database.db);
    expect(rows).toHaveLength(1);
    expect(await plan(example)).toEqual([]);
  });

  test('changes, takes away, and moves addresses', async () => {
    await apply(await plan(example));
    const changed = [
      domainOf('a/org', 'example.org', { aliasDomains: ['example.net'], allowedNamespaces: { from: 'All' } }),
      mailboxOf('a/alice', 'alice@example.org', { quota: '2Gi' }),
      secretOf('a/alice-mailbox', 'looking-glass'),
      mailboxOf('b/bob', 'bob@example.org', { aliases: ['sales@example.org'] }),
      secretOf('b/bob-mailbox', 'hammer'),
    ];
    const actions = await plan(changed);
    expect(new Set(actions.map((action) => action.do))).toEqual(
      new Set([
        'remove-address',
        'remove-domain-name',
        'retire-alias',
        'delete-route',
        'delete-credential',
        'put-domain',
        'add-domain-name',
        'put-account',
        'add-address',
        'set-password',
      ]),
    );
    await apply(actions);
    expect(await plan(changed)).toEqual([]);
  });

  test('is put right where somebody changed rows by hand', async () => {
    await apply(await plan(example));
    const { db } = database;
    await db.updateTable('account').set({ saves_sent: true, messages_per_hour: 7 }).execute();
    await db.updateTable('domain').set({ requires_inbound_tls: true }).execute();
    await db.updateTable('alias').set({ send_as: true }).execute();
    await db.updateTable('mail_route').set({ priority: 7 }).execute();
    await db
      .updateTable('mail_credential')
      .set({ allowed_senders: ['*@elsewhere.test'] })
      .execute();
    await db.deleteFrom('address').execute();
    await db.deleteFrom('domain_name').execute();
    await db.updateTable('credential').set({ version: 9n }).execute();
    await apply(await plan(example));
    expect(await plan(example)).toEqual([]);
    const addresses = await db.selectFrom('address').select('local_part').orderBy('local_part').execute();
    expect(addresses.map(({ local_part }) => local_part)).toEqual(['alice', 'bob', 'sales', 'team']);
  });
});

describe('what the database refuses', () => {
  test('fails alone', async () => {
    await apply(await plan(example.slice(0, 1)));
    const actions = await plan(example);
    // Somebody was quicker.
    const { id } = await database.db.selectFrom('domain').select('id').executeTakeFirstOrThrow();
    await database.db
      .insertInto('account')
      .values({ domain_id: id, local_part: 'bob', managed_by: 'nobody' })
      .execute();
    const outcomes = await apply(actions);
    const failed = [...outcomes].filter(([, outcome]) => !outcome.ok);
    const bob = actions.find((action) => action.do === 'put-account' && action.account.localPart === 'bob');
    expect(failed).toEqual([[bob?.uid, expect.objectContaining({ reason: 'Conflict' })]]);
    expect(oks(outcomes).filter(Boolean).length).toBeGreaterThanOrEqual(4);
  });

  test('of somebody else’s row no password is set', async () => {
    const actions = await plan(example);
    await apply(actions.filter((action) => !isPassword(action)));
    await database.db
      .updateTable('account')
      .set({ managed_by: 'nobody', resource_uid: null, resource_name: null })
      .where('local_part', '=', 'bob')
      .execute();
    const outcomes = await apply(actions.filter(isPassword));
    expect(oks(outcomes).filter(Boolean)).toHaveLength(1);
    const { rows } = await sql`select local_part from credential join account on account.id = account_id`.execute(
      database.db,
    );
    expect(rows).toEqual([{ local_part: 'alice' }]);
  });

  test('a row that was let go of meanwhile is not touched', async () => {
    await apply(await plan(example));
    const actions = await plan(example.slice(0, 1));
    await database.db
      .updateTable('account')
      .set({ managed_by: 'nobody', resource_uid: null, resource_name: null })
      .where('local_part', '=', 'bob')
      .execute();
    await apply(actions);
    const bob = await database.db
      .selectFrom('account')
      .select('retained_at')
      .where('local_part', '=', 'bob')
      .executeTakeFirstOrThrow();
    expect(bob.retained_at).toBeNull();
  });

  test('a password that was not handed in is left, the rest is done', async () => {
    const without = example.filter(({ kind, name }) => kind !== 'Secret' || name !== 'b/bob-mailbox');
    const outcomes = await apply(await plan(without));
    expect([...outcomes.values()].filter(({ ok }) => !ok)).toEqual([
      expect.objectContaining({ reason: 'SecretMissing' }),
    ]);
    const accounts = await database.db.selectFrom('account').select('local_part').execute();
    expect(accounts).toHaveLength(2);
    // Nothing else is left to do.
    expect((await plan(without)).map((action) => action.do)).toEqual(['set-password']);
  });

  test('a leader that was followed by another writes nothing', async () => {
    const epoch = await takeEpoch(database.db, 'pod-a');
    const actions = await plan(example);
    await takeEpoch(database.db, 'pod-b');
    await expect(apply(actions, { epoch })).rejects.toThrow(StaleEpoch);
    expect(await database.db.selectFrom('domain').selectAll().execute()).toEqual([]);
  });
});

describe('the password of a MailCredential', () => {
  const shop = (interval: string): readonly Manifest[] => [
    ...example.slice(0, 1),
    {
      kind: 'MailCredential',
      name: 'a/shop',
      spec: { allowedSenders: ['orders@example.org'], rotation: { interval, overlap: '1h' } },
    },
  ];
  const passwords = () =>
    database.db.selectFrom('mail_credential_password').select(['id', 'expires_at']).orderBy('created_at').execute();

  test('is followed by another while the one before still works, for a while', async () => {
    await apply(await plan([...shop('24h'), secretOf('a/shop-smtp', 'first')]));
    const now = new Date();
    await apply(await plan([...shop('24h'), secretOf('a/shop-smtp', 'second')], { now }));
    const [first, second] = await passwords();
    expect(second?.expires_at).toBeNull();
    expect(first?.expires_at?.getTime()).toBeGreaterThan(now.getTime() + 3_500_000);
    await sql`update mail_credential_password set expires_at = now() where expires_at is not null`.execute(database.db);
    const actions = await plan([...shop('24h'), secretOf('a/shop-smtp', 'second')], { now });
    expect(actions.map((action) => action.do)).toEqual(['remove-expired-passwords']);
    await apply(actions);
    expect(await passwords()).toEqual([second]);
  });

  test('is due when its interval is over', async () => {
    const manifests = [...shop('24h'), secretOf('a/shop-smtp', 'first')];
    await apply(await plan(manifests));
    const before = new Date(Date.now() + 23 * 3_600_000);
    const after = new Date(Date.now() + 25 * 3_600_000);
    expect(await plan(manifests, { now: before })).toEqual([]);
    expect(await plan(manifests, { now: after })).toMatchObject([{ do: 'set-credential-password', isRotation: true }]);
  });
});

describe('the senders of a MailCredential', () => {
  const shop: Manifest = {
    kind: 'MailCredential',
    name: 'a/shop',
    spec: { allowedSenders: ['orders@example.com', 'orders@example.org'] },
  };
  const secret = secretOf('a/shop-smtp', 'first');
  const at = (name: string, more = {}): Manifest => domainOf(`a/${name}`, `example.${name}`, more);
  const senders = async (): Promise<readonly string[] | undefined> =>
    (await database.db.selectFrom('mail_credential').select('allowed_senders').executeTakeFirst())?.allowed_senders;
  const away = { serverRef: { name: 'away', namespace: 'mail' } };

  test('stay while the MailDomain of one of them, or its MailServer, is in trouble', async () => {
    await apply(await plan([at('com'), at('org'), shop, secret]));
    expect(await senders()).toEqual(['orders@example.com', 'orders@example.org']);
    expect(await plan([at('com'), at('org', away), shop, secret])).toEqual([]);
    expect(await plan([at('com', away), at('org', away), shop, secret])).toEqual([]);
  });

  test('one that was not let in before its domain was in trouble is not let in by that', async () => {
    await apply(await plan([at('org'), { ...shop, spec: { allowedSenders: ['orders@example.org'] } }, secret]));
    const longer = { ...shop, spec: { allowedSenders: ['orders@example.org', 'news@example.org'] } };
    await apply(await plan([at('com'), at('org', away), longer, secret]));
    expect(await senders()).toEqual(['orders@example.org']);
    await apply(await plan([at('com'), at('org'), longer, secret]));
    expect(await senders()).toEqual(['orders@example.org', 'news@example.org']);
  });

  test('go with their MailDomain, and with its leave', async () => {
    const closed = at('com', { allowedNamespaces: { from: 'Same' } });
    const other = { ...shop, name: 'b/shop' };
    await apply(await plan([at('com', { allowedNamespaces: { from: 'All' } }), at('org'), other, secret]));
    expect(await senders()).toEqual(['orders@example.com']);
    await apply(await plan([closed, at('org'), other, secret]));
    expect(await senders()).toEqual([]);
    await apply(await plan([at('com'), at('org'), shop, secret]));
    await apply(await plan([at('com'), shop, secret]));
    expect(await senders()).toEqual(['orders@example.com']);
  });
});

test('a domain that changed hands is empty for its new owner, and comes back to the old one with its mail', async () => {
  const manifests = [
    domainOf('a/org', 'example.org', { aliasDomains: ['example.com'] }),
    mailboxOf('a/alice', 'alice@example.org', { aliases: ['sales@example.org'] }),
    secretOf('a/alice-mailbox', 'wonderland'),
    { ...domainOf('b/org', 'example.org'), createdAt: '2026-05-01T00:00:00Z' },
    mailboxOf('b/alice', 'alice@example.org'),
    secretOf('b/alice-mailbox', 'looking-glass'),
  ];
  const of = (owner: string): Partial<PassInput> => ({
    isProved: ({ namespace }) => namespace === owner,
    isEstablished: ({ namespace }) => namespace === owner,
  });
  const leadsTo = async (address: string): Promise<readonly string[]> => {
    const rows = await sql<{ name: string }>`
      select account.resource_name as name from address join domain_name on domain_name.domain_id = address.domain_id
        join domain on domain.id = address.domain_id and domain.retained_at is null
        join account on account.id = address.account_id and account.retained_at is null
        where address.local_part || '@' || domain_name.name = ${address}`.execute(database.db);
    return rows.rows.map(({ name }) => name);
  };
  await apply(await plan(manifests, of('a')));
  const [first] = await database.db.selectFrom('account').select(['id', 'resource_name']).execute();
  expect(await leadsTo('alice@example.com')).toEqual(['a/alice']);
  for (const [owner, sales] of [
    ['b', []],
    ['a', ['a/alice']],
    ['b', []],
  ] as const) {
    expect(new Set(oks(await apply(await plan(manifests, of(owner)))))).toEqual(new Set([true]));
    expect(await plan(manifests, of(owner))).toEqual([]);
    expect(await leadsTo('alice@example.org')).toEqual([`${owner}/alice`]);
    expect(await leadsTo('sales@example.org')).toEqual(sales);
  }
  const kept = await database.db.selectFrom('account').select('id').where('resource_name', '=', 'a/alice').execute();
  expect(kept).toEqual([{ id: first?.id }]);
});
