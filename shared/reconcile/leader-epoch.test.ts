import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDatabase } from '#shared/db/client.ts';
import type { PostgresDatabase } from '#shared/db/client.ts';
import { listen } from '#shared/db/listen.ts';
import { transact } from '#shared/db/tx.ts';
import { createTestDatabase } from '../../test/harness/database.ts';
import type { TestDatabase } from '../../test/harness/database.ts';
import { assertEpoch, directoryChannel, quiet, StaleEpoch, takeEpoch } from './leader-epoch.ts';

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

const write = (epoch: bigint, name: string): Promise<void> =>
  transact(database.db, async (tx) => {
    await assertEpoch(tx, epoch);
    await tx.insertInto('domain').values({ name, managed_by: 'nobody' }).execute();
  });

test('a leader that was followed by another writes nothing any more', async () => {
  const first = await takeEpoch(database.db, 'pod-a');
  await write(first, 'a.test');
  const second = await takeEpoch(database.db, 'pod-b');
  expect(second).toBeGreaterThan(first);
  await expect(write(first, 'b.test')).rejects.toThrow(StaleEpoch);
  await write(second, 'c.test');
  const names = await database.db.selectFrom('domain').select('name').orderBy('name').execute();
  expect(names.map(({ name }) => name)).toEqual(['a.test', 'c.test']);
});

test('a new leader waits for what the one before has begun', async () => {
  const first = await takeEpoch(database.db, 'pod-a');
  const order: string[] = [];
  const taken = transact(database.db, async (tx) => {
    await assertEpoch(tx, first);
    const next = takeEpoch(database.db, 'pod-b').then(() => order.push('taken'));
    // Long enough to see: the other connection waits for this one's row.
    for (let n = 0; n < 20; n++) await tx.selectFrom('domain').select('id').execute();
    order.push('written');
    return { next };
  });
  await (
    await taken
  ).next;
  expect(order).toEqual(['written', 'taken']);
});

test('who listens hears of changes by others, once a statement, and not of its own', async () => {
  const heard: string[] = [];
  let connected = (): void => undefined;
  const isConnected = new Promise<void>((resolve) => {
    connected = resolve;
  });
  let told = (): void => undefined;
  const isTold = new Promise<void>((resolve) => {
    told = resolve;
  });
  const listener = {
    heard: (payload: string) => {
      heard.push(payload);
      if (payload === 'domain_name') told();
    },
    gap: () => connected(),
  };
  await using _ = listen({ database, channel: directoryChannel, listener });
  await isConnected;
  await transact(database.db, async (tx) => {
    await quiet(tx);
    await tx.insertInto('domain').values({ name: 'quiet.test', managed_by: 'nobody' }).execute();
  });
  await transact(database.db, async (tx) => {
    await tx.insertInto('domain').values({ name: 'loud.test', managed_by: 'nobody' }).execute();
    await tx.updateTable('domain').set({ suspended: true }).execute();
    // Of no interest to whoever manages rows.
    await tx.updateTable('credential').set({ last_used_at: new Date() }).execute();
  });
  const { id } = await database.db
    .selectFrom('domain')
    .select('id')
    .where('name', '=', 'loud.test')
    .executeTakeFirstOrThrow();
  await database.db.insertInto('domain_name').values({ name: 'loud.test', domain_id: id }).execute();
  await isTold;
  expect(heard).toEqual(['domain', 'domain_name']);
});
