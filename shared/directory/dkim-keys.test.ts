import { createPrivateKey, createPublicKey, randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { createDatabase, type PostgresDatabase } from '../db/client.ts';
import { dkimRecords, dkimSealContext, reconcileDkimKeys, zoneLine } from './dkim-keys.ts';
import { createKeyring } from './keyring.ts';

const keyring = createKeyring(new Map([['k', randomBytes(32)]]), 'k');
const name = 'example.org';

let server: TestDatabase;
let database: PostgresDatabase;
let domainId: bigint;
beforeAll(async () => {
  server = await createTestDatabase();
  database = createDatabase({ url: server.url, maxConnections: 4 });
  const { id } = await database.db
    .insertInto('domain')
    .values({ name, subaddress_delimiter: null, catch_all_local: null, catch_all_domain: null, managed_by: 'nobody' })
    .returning('id')
    .executeTakeFirstOrThrow();
  domainId = id;
  await database.db
    .insertInto('domain_name')
    .values([name, 'example.net'].map((each) => ({ name: each, domain_id: id })))
    .execute();
});
afterAll(async () => {
  await database[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

async function states(): Promise<readonly string[]> {
  const rows = await database.db
    .selectFrom('dkim_key')
    .select(['algorithm', 'state'])
    .orderBy('algorithm')
    .orderBy('state')
    .execute();
  return rows.map(({ algorithm, state }) => `${algorithm} ${state}`);
}

async function pass(days: number): Promise<void> {
  await sql`update dkim_key set state_since = state_since - make_interval(days => ${days})`.execute(database.db);
}

test('a new domain gets one key of each algorithm, also where two servers see to it', async () => {
  const changes = await Promise.all([reconcileDkimKeys(database.db, keyring), reconcileDkimKeys(database.db, keyring)]);
  expect(await states()).toEqual(['ed25519 active', 'rsa2048 active']);
  expect(changes.flat().length).toBeGreaterThanOrEqual(1);
  expect(await reconcileDkimKeys(database.db, keyring)).toEqual([]);
});

test('private keys are sealed, and belong to what is published', async () => {
  const rows = await database.db.selectFrom('dkim_key').selectAll().execute();
  for (const { selector, algorithm, private_key: bytes, seal_key_id: keyId, public_key: published } of rows) {
    expect(() => keyring.open({ keyId, bytes }, dkimSealContext(domainId + 1n, selector))).toThrow();
    const key = keyring.open({ keyId, bytes }, dkimSealContext(domainId, selector));
    const der = createPublicKey(createPrivateKey({ key, format: 'der', type: 'pkcs8' })).export({
      format: 'der',
      type: 'spki',
    });
    expect((algorithm === 'rsa2048' ? der : der.subarray(-32)).toString('base64')).toBe(published);
  }
});

test('records are told for every name of the domain, in strings that a zone file takes', async () => {
  const records = await dkimRecords(database.db, name);
  expect(records.map(({ name: owner }) => owner.replace(/^[a-z0-9-]+/, ''))).toEqual([
    '._domainkey.example.net.',
    '._domainkey.example.net.',
    '._domainkey.example.org.',
    '._domainkey.example.org.',
  ]);
  for (const record of records) {
    const strings = [...zoneLine(record).matchAll(/"([^"]*)"/g)].map(([, text]) => text ?? '');
    expect(strings.join('')).toBe(record.value);
    for (const text of strings) expect(text.length).toBeLessThanOrEqual(255);
  }
});

test('a key is replaced by one that was published before, and stays published after', async () => {
  await database.db
    .updateTable('domain')
    .set({ dkim_algorithms: ['rsa2048'], dkim_rotation_seconds: 90n * 86_400n, dkim_overlap_seconds: 7n * 86_400n })
    .execute();
  await reconcileDkimKeys(database.db, keyring);
  expect(await states()).toEqual(['ed25519 retiring', 'rsa2048 active']);
  await pass(90);
  await reconcileDkimKeys(database.db, keyring);
  expect(await states()).toEqual(['rsa2048 active', 'rsa2048 pending']);
  await pass(7);
  await reconcileDkimKeys(database.db, keyring);
  expect(await states()).toEqual(['rsa2048 active', 'rsa2048 retiring']);
  await pass(7);
  await reconcileDkimKeys(database.db, keyring);
  expect(await states()).toEqual(['rsa2048 active']);
});
