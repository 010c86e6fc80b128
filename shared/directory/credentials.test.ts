import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AccountId } from '#shared/base/ids.ts';
import { createDatabase } from '#shared/db/client.ts';
import type { PostgresDatabase } from '#shared/db/client.ts';
import { transact } from '#shared/db/tx.ts';
import { createTestDatabase } from '../../test/harness/database.ts';
import type { TestDatabase } from '../../test/harness/database.ts';
import { deriveVerifiers, isPasswordOf, openKeyringOf, setPrimaryPassword } from './credentials.ts';
import { createKeyring } from './keyring.ts';
import { verifyPassword } from './password.ts';
import { matchesScramVerifier, parseScramVerifier } from './scram.ts';

const keyring = createKeyring(new Map([['k', Buffer.alloc(32, 7)]]), 'k');
let server: TestDatabase;
let database: PostgresDatabase;
let accounts: readonly AccountId[] = [];

beforeAll(async () => {
  server = await createTestDatabase();
  database = createDatabase({ url: server.url });
  const { db } = database;
  const domain = await db
    .insertInto('domain')
    .values({ name: 'example.org', subaddress_delimiter: '+', managed_by: 'nobody' })
    .returning('id')
    .executeTakeFirstOrThrow();
  const rows = await db
    .insertInto('account')
    .values(['alice', 'bob'].map((local_part) => ({ domain_id: domain.id, local_part, managed_by: 'nobody' as const })))
    .returning('id')
    .execute();
  accounts = rows.map(({ id }) => id);
});
afterAll(async () => {
  await database[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

async function setPassword(accountId: AccountId, password: string): Promise<void> {
  const verifiers = await deriveVerifiers(password);
  await transact(database.db, (tx) =>
    setPrimaryPassword(tx, keyring, accountId, { verifiers, managedBy: 'reconciler', secret: password }),
  );
}

function credentialOf(accountId: AccountId | undefined) {
  return database.db
    .selectFrom('credential')
    .selectAll()
    .where('account_id', '=', accountId ?? (0n as AccountId))
    .executeTakeFirstOrThrow();
}

test('setting a password makes every verifier of it, and raises the version', async () => {
  const [alice = 0n as AccountId] = accounts;
  await setPassword(alice, 'first');
  const first = await credentialOf(alice);
  expect(first).toMatchObject({ kind: 'primary', version: 1n, managed_by: 'reconciler', seal_key_id: 'k' });
  await setPassword(alice, 'second');
  const second = await credentialOf(alice);
  expect(second).toMatchObject({ id: first.id, version: 2n });
  expect(await verifyPassword('second', second.password_hash)).toBe(true);
  expect(await isPasswordOf(second, keyring, 'second')).toBe(true);
  expect(await isPasswordOf(second, keyring, 'first')).toBe(false);
  const context = `credential ${alice}/${second.id} SCRAM-SHA-1`;
  const sha1 = parseScramVerifier(keyring.open({ keyId: 'k', bytes: second.scram_sha1 }, context).toString());
  expect(sha1.mechanism).toBe('SCRAM-SHA-1');
  expect(await matchesScramVerifier('second', sha1)).toBe(true);
});

test('nothing in the row can be guessed at without the keyring but argon2id', async () => {
  await setPassword(accounts[0] ?? (0n as AccountId), 'secret');
  const { scram_sha256, scram_sha1 } = await credentialOf(accounts[0]);
  for (const bytes of [scram_sha256, scram_sha1]) expect(bytes.toString('latin1')).not.toContain('SCRAM');
});

test('a verifier put into another account’s row does not open', async () => {
  const [alice = 0n as AccountId, bob = 0n as AccountId] = accounts;
  await setPassword(alice, 'of alice');
  await setPassword(bob, 'of bob');
  const stolen = { ...(await credentialOf(bob)), scram_sha256: (await credentialOf(alice)).scram_sha256 };
  await expect(isPasswordOf(stolen, keyring, 'of alice')).rejects.toThrow();
});

test('a keyring is made for a database in which nothing is sealed, and for no other', async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'keyring-of-'));
  await using empty = await createTestDatabase();
  await using unsealed = createDatabase({ url: empty.url });
  const file = (name: string): string => path.join(folder, name);
  const made = await openKeyringOf(unsealed.db, file('made'), true);
  expect(made.open(made.seal(Buffer.from('x'), 'c'), 'c').toString()).toBe('x');
  await expect(openKeyringOf(unsealed.db, file('lost'), false)).rejects.toMatchObject({ exitCode: 78 });

  const [alice = 0n as AccountId] = accounts;
  await setPassword(alice, 'first');
  await expect(openKeyringOf(database.db, file('lost'), true)).rejects.toMatchObject({
    exitCode: 78,
    message: expect.stringContaining('there is none') as string,
  });
  await expect(openKeyringOf(database.db, file('made'), true)).rejects.toMatchObject({
    exitCode: 78,
    message: `the keyring ${file('made')} does not open what the database holds (key k)`,
  });
  // The right name, another key.
  const other = { active: 'k', keys: { k: Buffer.alloc(32, 8).toString('base64') } };
  await writeFile(file('other'), JSON.stringify(other), { mode: 0o600 });
  await expect(openKeyringOf(database.db, file('other'), true)).rejects.toMatchObject({ exitCode: 78 });
  const right = { active: 'k', keys: { k: Buffer.alloc(32, 7).toString('base64') } };
  await writeFile(file('right'), JSON.stringify(right), { mode: 0o600 });
  await openKeyringOf(database.db, file('right'), true);
  await rm(folder, { recursive: true });
});
