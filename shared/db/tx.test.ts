import { sql } from 'kysely';
import { expect, onTestFinished, test } from 'vitest';
import { createTestDatabase } from '../../test/harness/database.ts';
import { createDatabase } from './client.ts';
import { readSnapshot, transact } from './tx.ts';

test('a snapshot shows one state, whatever is committed while it is read', async () => {
  const server = await createTestDatabase();
  onTestFinished(() => server[Symbol.asyncDispose]());
  const database = createDatabase({ url: server.url, maxConnections: 2 });
  onTestFinished(() => database[Symbol.asyncDispose]());
  const { db } = database;
  const count = async (on: typeof db): Promise<number> =>
    (await sql<{ n: number }>`select count(*)::int as n from setting`.execute(on)).rows[0]?.n ?? -1;
  await sql`create table setting (name text)`.execute(db);
  const counts = await readSnapshot(db, async (tx) => {
    const before = await count(tx);
    await transact(db, (other) => sql`insert into setting values ('a')`.execute(other));
    return [before, await count(tx)];
  });
  expect(counts).toEqual([0, 0]);
  expect(await readSnapshot(db, count)).toBe(1);
  await expect(readSnapshot(db, (tx) => sql`insert into setting values ('b')`.execute(tx))).rejects.toThrow(
    /read-only transaction/,
  );
});
