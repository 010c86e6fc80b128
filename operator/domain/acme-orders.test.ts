import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDatabase, type PostgresDatabase } from '#shared/db/client.ts';
import { createKeyring } from '#shared/directory/keyring.ts';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { putFailure, putOrder, readOrder } from './acme-orders.ts';

let server: TestDatabase;
let database: PostgresDatabase;
beforeAll(async () => {
  server = await createTestDatabase();
  database = createDatabase({ url: server.url, maxConnections: 2 });
});
afterAll(async () => {
  await database[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

const keyring = createKeyring(new Map([['k1', randomBytes(32)]]), 'k1');
const order = { url: 'https://ca.test/order/1', privateKey: 'a key' };

test.each([
  ['goes on with its own order', 'one', order],
  ['takes nothing of another’s', 'two', null],
])('an attempt whose authority was away %s', async (owner, attempt, expected) => {
  const { db } = database;
  await putOrder(db, keyring, owner, { attempt: 'one', ...order });
  const problem = { reason: 'ACMEUnreachable', message: 'no answer', isLimit: false };
  await putFailure(db, owner, { attempt, isOver: false, failedAttempts: 1, nextAttempt: new Date(), problem });
  expect(await readOrder(db, keyring, owner)).toMatchObject({ attempt, order: expected, failedAttempts: 1 });
});
