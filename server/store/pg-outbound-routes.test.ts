import { sql } from 'kysely';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '#shared/base/clock.ts';
import { createDatabase, type PostgresDatabase } from '#shared/db/client.ts';
import { createKeyring } from '#shared/directory/keyring.ts';
import { routeSealContext } from '#shared/provisioning/mail-route-wanted.ts';
import { parseManifests } from '#shared/provisioning/manifest.ts';
import { planRoutes } from '#shared/provisioning/mail-route-plan.ts';
import { wantedDirectory } from '#shared/provisioning/build-wanted.ts';
import { applyAction } from '#shared/reconcile/apply-action.ts';
import { createRouter } from '#server/transport/router.ts';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { openPgMailRoutes } from './pg-mail-routes.ts';
import { Janitor } from './pg-janitor.ts';
import { openPgSourceRests } from './pg-source-rests.ts';
import { createPgStsPolicies } from './pg-sts-policies.ts';
import { openPgTlsSessions } from './pg-tls-sessions.ts';

const logger = pino({ level: 'silent' });
const keyring = createKeyring(new Map([['k', Buffer.alloc(32, 7)]]), 'k');
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

async function rows(text: string): Promise<readonly unknown[]> {
  return (await sql.raw(text).execute(database.db)).rows;
}

async function put(text: string): Promise<void> {
  const { resources, faults } = parseManifests([{ name: 'f.yaml', text }]);
  expect(faults).toEqual([]);
  const { wanted } = wantedDirectory(resources, { kind: 'folder', isComplete: true });
  for (const action of planRoutes(wanted.routes, [], new Set())) {
    await applyAction(action, { tx: database.db, keyring, passwords: new Map() });
  }
}

function route(name: string, spec: string): string {
  return `apiVersion: postrider.dev/v1alpha1\nkind: MailRoute\nmetadata: {name: ${name}}\nspec: ${spec}\n---\n`;
}

test('routes with their secrets, as the router and the transport use them', async () => {
  const secret = `apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {username: u, password: p, key: k, ca.crt: PEM}\n---\n`;
  const relay = `{type: Smarthost, host: smtp.relay.example, authSecretRef: {name: s}, tls: {mode: Implicit, caSecretRef: {name: s}}, sourceAddresses: [192.0.2.1], socks: {address: 192.0.2.9, authSecretRef: {name: s}}}`;
  await put(
    secret +
      route(
        'relay',
        `{match: {senderDomains: [shop.example]}, targets: [${relay}], limits: {maxConnections: 3, messagesPerMinute: 60}}`,
      ) +
      route(
        'hook',
        '{priority: 5, match: {recipientDomains: ["*.hook.example"]}, targets: [{type: HTTP, url: "https://a.example/in", signingSecretRef: {name: s}}]}',
      ) +
      route(
        'inner',
        '{priority: 6, match: {recipientDomains: [inner.example]}, targets: [{type: Direct, tls: {mode: DANE}, allowedNetworks: [10.0.0.0/8]}]}',
      ) +
      route('staging', '{priority: 7, match: {recipientDomains: [staging.example]}, targets: [{type: Capture}]}') +
      route(
        'local',
        '{priority: 8, match: {recipientDomains: [local.example]}, targets: [{type: LMTP, host: /run/lmtp}]}',
      ),
  );
  await using source = await openPgMailRoutes({ db: database.db, keyring, logger });
  expect(source.routes.map(({ name }) => name)).toEqual([
    'default/hook',
    'default/inner',
    'default/staging',
    'default/local',
    'default/relay',
  ]);
  const credentials = { user: 'u', password: 'p' };
  expect(source.routes.at(-1)?.targets).toEqual([
    {
      kind: 'smarthost',
      priority: 0,
      weight: 1,
      host: 'smtp.relay.example',
      port: 587,
      tls: 'implicit',
      ca: 'PEM',
      credentials,
      egress: { sourceAddresses: ['192.0.2.1'], socks: { address: '192.0.2.9', port: 1080, credentials } },
    },
  ]);
  expect(source.routes[0]?.targets).toMatchObject([{ kind: 'http', key: Buffer.from('k') }]);
  const router = createRouter({ source, isCapturingAll: false });
  const hop = (to: string, domain = 'here.example') => router.nextHop({ domain, sender: '', requiresTls: false }, to);
  expect(hop('a@in.hook.example')).toEqual({ route: 'default/hook', domain: null });
  expect(hop('a@hook.example')).toEqual({ route: 'direct', domain: 'hook.example' });
  expect(hop('a@inner.example', 'shop.example')).toEqual({ route: 'default/inner', domain: 'inner.example' });
  expect(hop('a@staging.example')).toEqual({ route: 'capture', domain: null });
  expect(hop('a@elsewhere.example', 'shop.example')).toEqual({ route: 'default/relay', domain: null });
  expect(hop('a@[192.0.2.1]')).toEqual({ route: 'direct', domain: '[192.0.2.1]' });
  expect(router.limits(hop('a@elsewhere.example', 'shop.example'))).toEqual({ maxLanes: 3, perMinute: 60 });
  expect(
    createRouter({ source, isCapturingAll: true }).nextHop(
      { domain: 'x', sender: '', requiresTls: false },
      'a@b.example',
    ),
  ).toEqual({
    route: 'capture',
    domain: null,
  });
});

test('the secrets do not stand open in the database, and a route whose secrets do not open takes its mail nowhere else', async () => {
  const found = await rows(
    `select resource_uid, secrets, spec::text from mail_route where resource_name = 'default/relay'`,
  );
  const [row] = found as { resource_uid: string; secrets: Buffer; spec: string }[];
  expect(row?.secrets.includes('"p"')).toBe(false);
  expect(row?.spec).not.toContain('"p"');
  const sealed = { keyId: 'k', bytes: row?.secrets ?? Buffer.alloc(0) };
  expect(keyring.open(sealed, routeSealContext(row?.resource_uid ?? '')).toString()).toContain('"p"');
  const other = createKeyring(new Map([['k', Buffer.alloc(32, 8)]]), 'k');
  await using source = await openPgMailRoutes({ db: database.db, keyring: other, logger });
  expect(source.routes.find(({ name }) => name === 'default/relay')?.targets).toEqual([]);
});

test('MTA-STS policies are there until they expire, over restarts, and go with a sweep', async () => {
  const store = createPgStsPolicies(database.db);
  const now = new Date();
  const policy = {
    id: '1',
    mode: 'enforce',
    mx: ['*.mx.example'],
    maxAgeSeconds: 60,
    expiresAt: new Date(now.getTime() + 60_000),
    checkedAt: now,
  } as const;
  expect(await store.get('d.example')).toBeNull();
  await store.put('d.example', policy);
  expect(await createPgStsPolicies(database.db).get('d.example')).toEqual(policy);
  await store.put('d.example', { ...policy, id: '2', expiresAt: new Date(now.getTime() - 1) });
  expect(await store.get('d.example')).toBeNull();
  await store.put('valid.example', policy);
  await using janitor = new Janitor({ database });
  expect((await janitor.sweepOnce()).stsPolicies).toBe(1);
  expect(await rows('select domain from sts_policy')).toEqual([{ domain: 'valid.example' }]);
});

test('TLS sessions are counted by day and result', async () => {
  const session = {
    policyDomain: 'd.example',
    policyType: 'sts',
    policyStrings: ['version: STSv1'],
    policyMx: ['mx.example'],
    result: 'success',
    receivingMx: 'mx.example',
    receivingAddress: '192.0.2.1',
    sendingAddress: '192.0.2.2',
  } as const;
  await using counts = await openPgTlsSessions({ db: database.db, clock: systemClock, logger });
  for (let i = 0; i < 3; i++) counts.record({ ...session, receivingAddress: `192.0.2.${i}` });
  counts.record({ ...session, result: 'certificate-expired' });
  await counts.flush();
  counts.record({ ...session, result: 'certificate-expired' });
  await counts.flush();
  const found = await rows('select result, receiving_address, sessions::int from tls_session_count order by result');
  expect(found).toEqual([
    { result: 'certificate-expired', receiving_address: '192.0.2.1', sessions: 2 },
    { result: 'success', receiving_address: '', sessions: 3 },
  ]);
});

test('an address that a destination turned away rests for all processes, longer each time, until mail is taken', async () => {
  let now = new Date();
  const clock = { now: () => now, monotonicMs: () => 0 };
  await using one = await openPgSourceRests({ db: database.db, clock, logger });
  await using two = await openPgSourceRests({ db: database.db, clock, logger });
  const both = ['192.0.2.1', '192.0.2.2'];
  expect(one.rested('d.example', both)).toEqual(both);
  one.block('d.example', '192.0.2.1', 'listed');
  one.block('d.example', '192.0.2.1', 'listed');
  expect(one.rested('d.example', both)).toEqual(['192.0.2.2']);
  expect(one.rested('other.example', both)).toEqual(both);
  await one.settled();
  await two.reread();
  expect(two.rested('d.example', both)).toEqual(['192.0.2.2']);
  now = new Date(now.getTime() + 16 * 60_000);
  expect(two.rested('d.example', both)).toEqual(both);
  two.block('d.example', '192.0.2.1', 'listed');
  await two.settled();
  const found = await rows(
    `select blocks, round(extract(epoch from until - now()) / 60)::int as minutes from source_rest`,
  );
  expect(found).toEqual([{ blocks: 2, minutes: 30 }]);
  two.clear('d.example', '192.0.2.1');
  await two.settled();
  await one.reread();
  expect(one.rested('d.example', both)).toEqual(both);
});
