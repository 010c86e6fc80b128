import { afterAll, beforeAll, expect, test } from 'vitest';
import type { FetchWants } from '#server/mail/ports.ts';
import { openPgStore, type PgStoreUnderTest } from '../../test/contracts/pg-store.ts';
import { everyUid, letter, TestAccount } from '../../test/contracts/store-under-test.ts';

const megabyte = 1024 * 1024;

let under: PgStoreUnderTest;
beforeAll(async () => {
  under = await openPgStore();
});
afterAll(() => under[Symbol.asyncDispose]());

async function batchesOf(account: TestAccount, wants: FetchWants): Promise<readonly (readonly string[])[]> {
  const batches: string[][] = [];
  for await (const batch of account.store.fetch(account.id, account.inboxId, everyUid, wants)) {
    batches.push(batch.map(({ headerFields = '' }) => headerFields));
  }
  return batches;
}

test('of messages with headers of megabytes a few are in memory at a time', async () => {
  const account = await TestAccount.create(under);
  const long = `X-Long: ${'x'.repeat(2 * megabyte)}\r\n`;
  await account.append(12, { raw: long + letter('last') });
  const batches = await batchesOf(account, { headerFields: ['X-Long'] });
  expect(batches.flat()).toEqual(Array.from({ length: 12 }, () => `${long}\r\n`));
  expect(Math.max(...batches.map((fields) => fields.join('').length))).toBeLessThan(7 * megabyte);
});

test('what is too large for a pack is not held for one', async () => {
  const account = await TestAccount.create(under);
  const long = `X-Long: ${'x'.repeat(20_000)}\r\n`;
  await account.append(520, { raw: long + letter() });
  const fields = (await batchesOf(account, { headerFields: ['X-Long'] })).flat();
  expect(fields).toEqual(Array.from({ length: 520 }, () => `${long}\r\n`));
  const packs = await under.database.db.selectFrom('fetch_pack').select('page').execute();
  expect(packs).toEqual([]);
});
