import { chmod, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createKeyring, openKeyring } from './keyring.ts';

const keys = new Map([
  ['old', Buffer.alloc(32, 1)],
  ['new', Buffer.alloc(32, 2)],
]);
const plain = Buffer.from('a secret');
let folder = '';

beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'keyring-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

test('what was sealed opens in its context alone', () => {
  const keyring = createKeyring(keys, 'new');
  const sealed = keyring.seal(plain, 'scram-sha-256 of 7');
  expect(sealed.keyId).toBe('new');
  expect(sealed.bytes.includes(plain)).toBe(false);
  expect(keyring.open(sealed, 'scram-sha-256 of 7')).toEqual(plain);
  expect(() => keyring.open(sealed, 'scram-sha-256 of 8')).toThrow(/authenticate/);
});

test('any changed byte is noticed', () => {
  const keyring = createKeyring(keys, 'new');
  const { keyId, bytes } = keyring.seal(plain, 'x');
  for (let at = 0; at < bytes.length; at++) {
    const changed = Buffer.from(bytes);
    changed[at] = (changed[at] ?? 0) ^ 1;
    expect(() => keyring.open({ keyId, bytes: changed }, 'x')).toThrow();
  }
});

test('after a rotation the old key opens what it sealed and the new one seals', () => {
  const before = createKeyring(keys, 'old').seal(plain, 'x');
  const keyring = createKeyring(keys, 'new');
  expect(keyring.open(before, 'x')).toEqual(plain);
  expect(() => createKeyring(new Map([...keys].slice(1)), 'new').open(before, 'x')).toThrow('has no key old');
});

test('a tag tells text, context and key apart, and is the same for the same', () => {
  const keyring = createKeyring(keys, 'new');
  const tag = keyring.tag('new', 'a secret', 'x');
  expect(tag).toHaveLength(32);
  expect(createKeyring(keys, 'old').tag('new', 'a secret', 'x')).toEqual(tag);
  const others = [
    keyring.tag('old', 'a secret', 'x'),
    keyring.tag('new', 'b', 'x'),
    keyring.tag('new', 'a secret', 'y'),
  ];
  for (const other of others) expect(other).not.toEqual(tag);
  expect(() => keyring.tag('gone', 'a secret', 'x')).toThrow('has no key gone');
});

test('a missing keyring is made once, for its owner alone, and read from then on', async () => {
  const file = path.join(folder, 'data', 'keyring');
  const sealed = (await openKeyring(file, 'create')).seal(plain, 'x');
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(await readdir(path.dirname(file))).toEqual(['keyring']);
  const text = await readFile(file, 'utf8');
  expect((await openKeyring(file, 'create')).open(sealed, 'x')).toEqual(plain);
  expect((await openKeyring(file, 'refuse')).open(sealed, 'x')).toEqual(plain);
  expect(await readFile(file, 'utf8')).toBe(text);
});

test('two programs that make it at once end up with one', async () => {
  const file = path.join(folder, 'keyring');
  const [one, two] = await Promise.all([openKeyring(file, 'create'), openKeyring(file, 'create')]);
  expect(two.open(one.seal(plain, 'x'), 'x')).toEqual(plain);
});

test('no keyring, no start', async () => {
  const fault = openKeyring(path.join(folder, 'keyring'), 'refuse');
  await expect(fault).rejects.toMatchObject({
    exitCode: 78,
    message: expect.stringMatching(/^no keyring, no start: .*keyring can't be read \(there is none\)$/) as string,
  });
});

test('a keyring that everybody can read is refused', async () => {
  const file = path.join(folder, 'keyring');
  await openKeyring(file, 'create');
  await chmod(file, 0o644);
  await expect(openKeyring(file, 'refuse')).rejects.toMatchObject({ exitCode: 78, hint: `Run: chmod 600 ${file}` });
});

test.each([
  ['not JSON', 'is not a keyring'],
  ['{"active":"a","keys":{"a":"c2hvcnQ="}}', 'is not a keyring'],
  [`{"active":"b","keys":{"a":"${Buffer.alloc(32).toString('base64')}"}}`, 'lacks a key'],
])('%s is refused without being quoted', async (text, message) => {
  const file = path.join(folder, 'keyring');
  await writeFile(file, text, { mode: 0o600 });
  await expect(openKeyring(file, 'refuse')).rejects.toMatchObject({ exitCode: 78, message: `${file} ${message}` });
});
