import { sql } from 'kysely';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createDatabase, type PostgresDatabase } from '#shared/db/client.ts';
import { createKeyring, type Keyring } from '#shared/directory/keyring.ts';
import { wantedDirectory } from '#shared/provisioning/build-wanted.ts';
import { parseManifests } from '#shared/provisioning/manifest.ts';
import { planRoutes } from '#shared/provisioning/mail-route-plan.ts';
import { applyAction } from '#shared/reconcile/apply-action.ts';
import type { RouteTarget, TargetProbe } from '#server/mail/outbound-routes.ts';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { openPgMailRoutes } from './pg-mail-routes.ts';
import { probeRound } from './pg-route-probes.ts';

const logger = pino({ level: 'silent' });
const keyring: Keyring = createKeyring(new Map([['k', Buffer.alloc(32, 7)]]), 'k');
const never = new AbortController().signal;
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
  await database.db.deleteFrom('mail_route').execute();
});

async function put(name: string, host: string): Promise<void> {
  const text = `apiVersion: postrider.dev/v1alpha1\nkind: MailRoute\nmetadata: {name: ${name}}\nspec: {targets: [{type: Smarthost, host: ${host}}]}`;
  const { resources } = parseManifests([{ name: 'f.yaml', text }]);
  const { wanted } = wantedDirectory(resources, { kind: 'folder', isComplete: true });
  await database.db.deleteFrom('mail_route').where('resource_name', '=', `default/${name}`).execute();
  for (const action of planRoutes(wanted.routes, [], new Set())) {
    await applyAction(action, { tx: database.db, keyring, passwords: new Map() });
  }
}

const hostOf = (target: RouteTarget): string => ('host' in target ? target.host : target.kind);

/** One process: its routes, and which hosts it tried. */
async function openProcess(answer: (host: string) => Promise<void> = () => Promise.resolve()) {
  const routes = await openPgMailRoutes({ db: database.db, keyring, logger });
  const tried: string[] = [];
  const prober = {
    async probe(target: RouteTarget): Promise<TargetProbe> {
      tried.push(hostOf(target));
      await answer(hostOf(target));
      return { target: hostOf(target), state: 'Reachable', reason: 'Reachable', message: '', latencyMs: 3 };
    },
  };
  return {
    tried,
    round: (signal = never) => probeRound({ db: database.db, routes, prober, logger }, signal),
    [Symbol.asyncDispose]: () => routes[Symbol.asyncDispose](),
  };
}

async function stored() {
  const rows = await database.db
    .selectFrom('mail_route_probe')
    .innerJoin('mail_route', 'mail_route.resource_uid', 'mail_route_probe.resource_uid')
    .select(['resource_name', 'targets', 'probed_at'])
    .orderBy('resource_name')
    .execute();
  return rows.map(({ resource_name: name, targets, probed_at: at }) => ({ name, targets, isDone: at !== null }));
}

test('each route is tried once, then again when it changes or its time is over', async () => {
  await put('a', 'a.example');
  await put('b', 'b.example');
  await using one = await openProcess();
  await one.round();
  expect(one.tried.toSorted()).toEqual(['a.example', 'b.example']);
  const reachable = (target: string) => [
    { target, state: 'Reachable', reason: 'Reachable', message: '', latencyMs: 3 },
  ];
  expect(await stored()).toEqual([
    { name: 'default/a', targets: reachable('a.example'), isDone: true },
    { name: 'default/b', targets: reachable('b.example'), isDone: true },
  ]);
  await one.round();
  expect(one.tried).toHaveLength(2);
  // A change that this process has not read yet: it tries the route as it is now.
  await put('b', 'new.example');
  await one.round();
  expect(one.tried.slice(2)).toEqual(['new.example']);
  await sql`update mail_route_probe set taken_at = now() - interval '6 minutes'`.execute(database.db);
  await one.round();
  expect(one.tried.slice(3).toSorted()).toEqual(['a.example', 'new.example']);
});

test('two processes do not try the same route', async () => {
  for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) await put(name, `${name}.example`);
  await using one = await openProcess();
  await using other = await openProcess();
  for (let i = 0; i < 3; i++) await Promise.all([one.round(), other.round()]);
  expect([...one.tried, ...other.tried].toSorted()).toEqual(
    ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => `${name}.example`),
  );
});

test('what came of a route as it was is not told of it as it is', async () => {
  await put('a', 'old.example');
  await using one = await openProcess(async (host) => {
    if (host === 'old.example') await put('a', 'new.example');
  });
  await one.round();
  expect(await stored()).toEqual([]);
  await one.round();
  expect(await stored()).toMatchObject([{ targets: [{ target: 'new.example' }], isDone: true }]);
});

test('a round that our end cuts off tells nothing', async () => {
  await put('a', 'a.example');
  const stopping = new AbortController();
  await using one = await openProcess(() => Promise.resolve(stopping.abort()));
  await one.round(stopping.signal);
  expect(await stored()).toMatchObject([{ targets: [], isDone: false }]);
});
