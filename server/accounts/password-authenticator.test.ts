import { pino } from 'pino';
import { afterEach, beforeAll, expect, test, vi } from 'vitest';
import type { Clock } from '#shared/base/clock.ts';
import type { LoginDirectory } from '#shared/directory/logins.ts';
import { hashPassword, verifyPassword } from '#shared/directory/password.ts';
import { createMetrics } from '#shared/observe/metrics.ts';
import type { Metrics } from '#shared/observe/metrics.ts';
import { MailError } from '#server/mail/mail-error.ts';
import { createMemoryDirectory } from '#server/store/memory-directory.ts';
import type { MemoryDirectory } from '#server/store/memory-directory.ts';
import type { Authenticator, LoginOutcome } from './authenticator.ts';
import { createAuthenticator } from './password-authenticator.ts';

const primary = '00000000-0000-4000-8000-000000000001';
const app = '00000000-0000-4000-8000-000000000002';
// "weak", with less memory than new hashes take (made by the same library).
const weakHash = '$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$2SCRtkXd7o40qaFWRZaUY4Hfu/UClsCQh/RGxKlqvcU';
// Counts the hashes; they are computed all the same.
vi.mock('#shared/directory/password.ts', { spy: true });

let hashes: { readonly right: string; readonly app: string; readonly newer: string };

beforeAll(async () => {
  hashes = { right: await hashPassword('right'), app: await hashPassword('app'), newer: await hashPassword('newer') };
});
afterEach(() => {
  vi.useRealTimers();
});

function directory(): MemoryDirectory {
  const one = (passwordHash: string, version = 1n) => [{ id: primary, version, passwordHash }];
  return createMemoryDirectory({
    domains: [{ name: 'example.org' }],
    accounts: [
      {
        address: 'alice@example.org',
        aliases: ['sales@example.org'],
        credentials: [...one(hashes.right), { id: app, version: 1n, passwordHash: hashes.app }],
      },
      { address: 'stopped@example.org', suspended: true, credentials: one(hashes.right) },
      { address: 'weak@example.org', credentials: one(weakHash) },
      { address: 'bare@example.org' },
    ],
    aliases: [{ address: 'team@example.org', members: ['alice@example.org'] }],
  });
}

type Fixture = {
  readonly authenticator: Authenticator & AsyncDisposable;
  readonly metrics: Metrics;
  readonly lines: Record<string, unknown>[];
  time: number;
};

function start(logins: LoginDirectory, developmentMode = false): Fixture {
  const lines: Record<string, unknown>[] = [];
  const metrics = createMetrics();
  const fixture = { metrics, lines, time: 0 };
  const clock: Clock = {
    now: () => new Date('2026-03-01T10:00:00Z'),
    monotonicMs: () => fixture.time,
  };
  const logger = pino({}, { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) });
  const authenticator = createAuthenticator({ directory: logins, clock, logger, metrics, developmentMode });
  return Object.assign(fixture, { authenticator });
}

function logIn({ authenticator }: Fixture, login: string, password: string): Promise<LoginOutcome> {
  return authenticator.authenticate({
    login,
    password,
    protocol: 'imap',
    mechanism: 'PLAIN',
    remoteAddress: '192.0.2.1',
  });
}

async function cacheCounts({ metrics }: Fixture): Promise<Record<string, number>> {
  const { values } = await metrics.loginCache.get();
  return Object.fromEntries(values.map(({ labels, value }) => [labels.outcome, value]));
}

test.each([
  ['alice@example.org', 'right'],
  ['ALICE@example.org', 'right'],
  ['sales@example.org', 'right'],
  ['alice@example.org', 'app'],
])('%s with %s is let in as alice', async (login, password) => {
  const users = directory();
  const outcome = await logIn(start(users), login, password);
  expect(outcome).toEqual({ ok: true, accountId: users.accountId('alice@example.org'), address: 'alice@example.org' });
});

test.each([
  ['alice@example.org', 'wrong', 'wrong-password'],
  ['alice@example.org', '', 'wrong-password'],
  ['alice@example.org', 'a\0b', 'wrong-password'],
  ['alice@example.org', 'x'.repeat(5000), 'wrong-password'],
  ['bare@example.org', 'right', 'wrong-password'],
  ['nobody@example.org', 'right', 'no-such-account'],
  ['team@example.org', 'right', 'no-such-account'],
  ['not an address', 'right', 'no-such-account'],
  ['stopped@example.org', 'wrong', 'wrong-password'],
  ['stopped@example.org', 'right', 'suspended'],
])('%s with %j is refused: %s', async (login, password, reason) => {
  expect(await logIn(start(directory()), login, password)).toEqual({ ok: false, reason });
});

test.each([
  ['nobody@example.org', 'x'],
  ['bare@example.org', 'x'],
  ['alice', 'x'],
  ['nobody@example.org', ''],
])('%s with %j takes a hash too, though there is nothing to compare with', async (login, password) => {
  const fixture = start(directory());
  const before = vi.mocked(verifyPassword).mock.calls.length;
  await logIn(fixture, login, password);
  expect(vi.mocked(verifyPassword).mock.calls.length).toBe(before + 1);
});

test('the second login is answered without a hash, for a while', async () => {
  const fixture = start(directory());
  await logIn(fixture, 'alice@example.org', 'right');
  await logIn(fixture, 'sales@example.org', 'right');
  expect(await cacheCounts(fixture)).toEqual({ miss: 1, hit: 1 });
  expect(await logIn(fixture, 'alice@example.org', 'wrong')).toMatchObject({ ok: false });
  fixture.time += 10 * 60_000;
  expect(await logIn(fixture, 'alice@example.org', 'right')).toMatchObject({ ok: true });
  expect(await cacheCounts(fixture)).toEqual({ miss: 3, hit: 1 });
});

test('a changed password stops working at once', async () => {
  const users = directory();
  let passwordHash = hashes.right;
  let version = 1n;
  const fixture = start({
    ...users,
    accountByLogin: async (login) => {
      const account = await users.accountByLogin(login);
      return account && { ...account, credentials: [{ id: primary, version, passwordHash }] };
    },
  });
  expect(await logIn(fixture, 'alice@example.org', 'right')).toMatchObject({ ok: true });
  passwordHash = hashes.newer;
  version = 2n;
  expect(await logIn(fixture, 'alice@example.org', 'right')).toEqual({ ok: false, reason: 'wrong-password' });
  expect(await logIn(fixture, 'alice@example.org', 'newer')).toMatchObject({ ok: true });
});

test('many connections with one password at once share its hash', async () => {
  const fixture = start(directory());
  const before = vi.mocked(verifyPassword).mock.calls.length;
  const outcomes = await Promise.all(Array.from({ length: 40 }, () => logIn(fixture, 'alice@example.org', 'right')));
  expect(outcomes.every(({ ok }) => ok)).toBe(true);
  expect(vi.mocked(verifyPassword).mock.calls.length).toBe(before + 1);
});

test('the same wrong password many times at once costs one hash, whether the name is known or not', async () => {
  const fixture = start(directory());
  await logIn(fixture, 'nobody@example.org', 'first');
  for (const login of ['alice@example.org', 'nobody@example.org']) {
    const before = vi.mocked(verifyPassword).mock.calls.length;
    await Promise.all(Array.from({ length: 10 }, () => logIn(fixture, login, 'wrong')));
    // Alice has two credentials.
    const hashed = vi.mocked(verifyPassword).mock.calls.length - before;
    expect(hashed).toBe(login === 'alice@example.org' ? 2 : 1);
  }
});

test('one network that guesses keeps another waiting for two hashes at most, and no cached login at all', async () => {
  const fixture = start(directory());
  const ended: string[] = [];
  const from = async (name: string, login: string, password: string, remoteAddress: string): Promise<void> => {
    const about = { protocol: 'imap', mechanism: 'PLAIN' } as const;
    const { ok } = await fixture.authenticator.authenticate({ login, password, remoteAddress, ...about });
    ended.push(`${name} ${ok}`);
  };
  await from('alice', 'alice@example.org', 'right', '192.0.2.1');
  const guesses = Array.from({ length: 20 }, (_, n) => from('guess', 'nobody@example.org', `${n}`, '198.51.100.6'));
  const alice = from('cached', 'alice@example.org', 'right', '192.0.2.1');
  const weak = from('new', 'weak@example.org', 'weak', '192.0.2.2');
  await Promise.all([...guesses, alice, weak]);
  expect(ended.indexOf('cached true')).toBe(1);
  expect(ended.indexOf('new true')).toBeLessThan(6);
});

test('a hash that is weaker than new ones is renewed at the next login', async () => {
  const users = directory();
  const fixture = start(users);
  expect(await logIn(fixture, 'weak@example.org', 'weak')).toMatchObject({ ok: true });
  const account = await users.accountByLogin('weak@example.org');
  expect(account?.credentials[0]?.passwordHash).toMatch(/^\$argon2id\$v=19\$m=19456,/);
  expect(await logIn(fixture, 'weak@example.org', 'weak')).toMatchObject({ ok: true });
});

test('when a credential was used last is written after a minute, and at the end', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const users = directory();
  const fixture = start(users);
  const key = { accountId: users.accountId('alice@example.org'), id: app };
  await logIn(fixture, 'alice@example.org', 'app');
  expect(users.lastUse(key)).toBeNull();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(users.lastUse(key)).toEqual(new Date('2026-03-01T10:00:00Z'));
  await logIn(fixture, 'alice@example.org', 'right');
  await fixture.authenticator[Symbol.asyncDispose]();
  expect(users.lastUse({ ...key, id: primary })).toEqual(new Date('2026-03-01T10:00:00Z'));
});

test('a directory that can’t be read is "later", not "wrong"', async () => {
  const fixture = start({
    ...directory(),
    accountByLogin: () => Promise.reject(new MailError({ kind: 'unavailable' })),
  });
  await expect(logIn(fixture, 'alice@example.org', 'right')).rejects.toMatchObject({ fault: { kind: 'unavailable' } });
});

test('every attempt is counted once, by protocol, mechanism and outcome', async () => {
  let isDown = false;
  const users = directory();
  const fixture = start({
    ...users,
    accountByLogin: (login) =>
      isDown ? Promise.reject(new MailError({ kind: 'unavailable' })) : users.accountByLogin(login),
  });
  await logIn(fixture, 'alice@example.org', 'right');
  await logIn(fixture, 'alice@example.org', 'wrong');
  await logIn(fixture, 'nobody@example.org', 'right');
  isDown = true;
  await expect(logIn(fixture, 'alice@example.org', 'right')).rejects.toThrow();
  const { values } = await fixture.metrics.authAttempts.get();
  expect(values.map(({ labels, value }) => [labels.protocol, labels.mechanism, labels.outcome, value])).toEqual([
    ['imap', 'PLAIN', 'ok', 1],
    ['imap', 'PLAIN', 'wrong-password', 1],
    ['imap', 'PLAIN', 'no-such-account', 1],
    ['imap', 'PLAIN', 'unavailable', 1],
  ]);
});

test('development mode opens any name of our domains, says so, and makes the account', async () => {
  const users = directory();
  const fixture = start(users, true);
  expect(await logIn(fixture, 'alice@example.org', 'anything')).toMatchObject({ ok: true });
  const outcome = await logIn(fixture, 'New@example.org', '');
  expect(outcome).toEqual({ ok: true, accountId: users.accountId('new@example.org'), address: 'new@example.org' });
  expect(fixture.lines).toHaveLength(2);
  expect(fixture.lines[1]).toMatchObject({
    level: 40,
    event: 'auth.development',
    dev: true,
    address: 'new@example.org',
  });
  expect(await logIn(fixture, 'x@elsewhere.test', 'x')).toEqual({ ok: false, reason: 'no-such-account' });
  expect(await logIn(fixture, 'stopped@example.org', 'x')).toEqual({ ok: false, reason: 'suspended' });
});

test('no log line holds a password', async () => {
  const fixture = start(directory(), true);
  await logIn(fixture, 'alice@example.org', 'hunter2');
  expect(JSON.stringify(fixture.lines)).not.toContain('hunter2');
});
