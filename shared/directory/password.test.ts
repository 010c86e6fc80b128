import { argon2Sync } from 'node:crypto';
import { expect, test } from 'vitest';
import { hashPassword, needsRehash, verifyPassword } from './password.ts';

test('a hash says how it was made, and knows its password from others', async () => {
  const hash = await hashPassword('correct horse');
  expect(hash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
  expect(await verifyPassword('correct horse', hash)).toBe(true);
  expect(await verifyPassword('correct horsf', hash)).toBe(false);
  expect(needsRehash(hash)).toBe(false);
});

test('the same password has another hash each time', async () => {
  expect(await hashPassword('a')).not.toBe(await hashPassword('a'));
});

test('a hash made with the reference implementation is understood, and asked to be renewed', async () => {
  // From the tests of the reference implementation: argon2id, t=2, m=2^16, p=1, "password", "somesalt".
  const hash = '$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc';
  expect(await verifyPassword('password', hash)).toBe(true);
  expect(await verifyPassword('passwore', hash)).toBe(false);
  expect(needsRehash(hash)).toBe(false);
  const weak = argon2Sync('argon2id', {
    message: 'password',
    nonce: Buffer.from('somesalt'),
    memory: 256,
    passes: 2,
    parallelism: 1,
    tagLength: 32,
  });
  const weakHash = `$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$${weak.toString('base64').replaceAll('=', '')}`;
  expect(await verifyPassword('password', weakHash)).toBe(true);
  expect(needsRehash(weakHash)).toBe(true);
});

test.each([
  '',
  'password',
  '$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc',
  '$argon2id$v=19$m=999999999,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc',
  '$argon2id$v=19$m=65536,t=9999,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc',
])('%j is refused before any work is done', async (hash) => {
  await expect(verifyPassword('password', hash)).rejects.toThrow(/argon2id hash/);
});
