/** What every implementation of the directory does. Run by directory.test.ts on each. */
import { describe, expect, test } from 'vitest';
import type { LoginDirectory } from '#shared/directory/logins.ts';
import type { MemoryDirectoryContents } from '#server/store/memory-directory.ts';
import type { RecipientDirectory, RecipientVerdict } from '#server/mail/ports.ts';
import type { AccountId } from '#shared/base/ids.ts';

export type DirectoryUnderTest = {
  readonly recipients: RecipientDirectory;
  readonly logins: LoginDirectory;
  /** By the account's own address. */
  readonly accountId: (address: string) => AccountId;
  readonly lastUse: (accountId: AccountId, id: string) => Promise<Date | null>;
};

const primaryId = '00000000-0000-4000-8000-000000000001';
const appId = '00000000-0000-4000-8000-000000000002';
const day = new Date('2026-03-01T10:00:00Z');

const contents: MemoryDirectoryContents = {
  domains: [
    { name: 'example.org', aliasDomains: ['example.com'] },
    { name: 'caught.test', catchAll: 'bob@example.org' },
    { name: 'dash.test', subaddressDelimiter: '-' },
    { name: 'exact.test', subaddressDelimiter: null },
    { name: 'closed.test', suspended: true },
  ],
  accounts: [
    {
      address: 'alice@example.org',
      aliases: ['sales@example.org', 'alice@caught.test'],
      credentials: [
        { id: primaryId, version: 3n, passwordHash: '$argon2id$primary' },
        { id: appId, version: 1n, passwordHash: '$argon2id$app' },
      ],
    },
    { address: 'bob@example.org', quotaBytes: 1000n, usedBytes: 900n },
    { address: 'full@example.org', quotaBytes: 1000n, usedBytes: 1000n },
    {
      address: 'stopped@example.org',
      suspended: true,
      credentials: [{ id: primaryId, version: 1n, passwordHash: 'x' }],
    },
    { address: 'gone@caught.test', retained: true, credentials: [{ id: primaryId, version: 1n, passwordHash: 'x' }] },
    { address: '"odd local"@example.org' },
    { address: 'jos\u00e9@example.org' },
    { address: 'carol@dash.test' },
    { address: 'dave@exact.test' },
    { address: 'erin@closed.test' },
  ],
  aliases: [
    { address: 'team@example.org', members: ['alice@example.org', 'BOB+team@example.com', 'sales@example.org'] },
    { address: 'all@example.org', members: ['team@example.org', 'carol@dash.test', 'stopped@example.org'] },
    { address: 'crowd@example.org', members: ['alice@example.org', 'full@example.org'] },
    { address: 'idle@example.org', members: ['stopped@example.org'] },
    { address: 'shut@example.org', members: ['erin@closed.test', 'nobody@remote.test'] },
    { address: 'half-shut@example.org', members: ['shut@example.org', 'alice@example.org'] },
    { address: 'ring@example.org', members: ['gnir@example.org', 'alice@example.org'] },
    { address: 'gnir@example.org', members: ['ring@example.org'] },
    { address: 'only-alice@example.org', members: ['alice@example.org'] },
    { address: 'nowhere@example.org', members: ['x@remote.test', 'gone@caught.test'] },
  ],
};

export function directoryContract(
  name: string,
  make: (contents: MemoryDirectoryContents) => Promise<DirectoryUnderTest>,
) {
  describe(`${name}: recipients`, () => {
    const addressesOf = (verdict: RecipientVerdict): readonly string[] =>
      verdict.kind === 'local'
        ? [...verdict.accounts.map(({ address }) => address), ...verdict.forwards].toSorted()
        : [verdict.kind];

    const expectations: readonly (readonly [address: string, leadsTo: readonly string[]])[] = [
      ['alice@example.org', ['alice@example.org']],
      ['ALICE@EXAMPLE.ORG', ['alice@example.org']],
      ['sales@example.org', ['alice@example.org']],
      ['alice@caught.test', ['alice@example.org']],
      ['alice@example.com', ['alice@example.org']],
      ['alice+tag@example.org', ['alice@example.org']],
      ['bob@example.org', ['bob@example.org']],
      ['anybody@caught.test', ['bob@example.org']],
      ['"odd local"@example.org', ['"odd local"@example.org']],
      ['JOSE\u0301@example.org', ['jos\u00e9@example.org']],
      ['carol-x@dash.test', ['carol@dash.test']],
      ['team@example.org', ['alice@example.org', 'bob@example.org']],
      ['all@example.org', ['alice@example.org', 'bob@example.org', 'carol@dash.test']],
      ['ring@example.org', ['alice@example.org']],
      ['gnir@example.org', ['alice@example.org']],
      ['nobody@example.org', ['unknown']],
      ['nobody+x@example.org', ['unknown']],
      ['carol+x@dash.test', ['unknown']],
      ['dave+x@exact.test', ['unknown']],
      ['gone@caught.test', ['unknown']],
      ['nowhere@example.org', ['x@remote.test']],
      ['not an address', ['unknown']],
      ['full@example.org', ['over-quota']],
      ['crowd@example.org', ['over-quota']],
      ['stopped@example.org', ['suspended']],
      ['idle@example.org', ['suspended']],
      ['shut@example.org', ['nobody@remote.test']],
      ['half-shut@example.org', ['alice@example.org', 'nobody@remote.test']],
      ['erin@closed.test', ['suspended']],
      ['nobody@closed.test', ['suspended']],
      ['alice@remote.test', ['remote']],
      ['alice@[127.0.0.1]', ['remote']],
    ];

    test.each(expectations)('%s: %j', async (address, expected) => {
      const { recipients } = await make(contents);
      expect(addressesOf(await recipients.resolveRecipient(address, 0))).toEqual(expected);
    });

    test.each(['asked at the same time', 'announced, then asked'])('all of them, %s', async (how) => {
      const { recipients } = await make(contents);
      const addresses = expectations.map(([address]) => address);
      if (how !== 'asked at the same time') recipients.expectRecipients(addresses);
      const verdicts = await Promise.all(addresses.map((address) => recipients.resolveRecipient(address, 0)));
      expect(verdicts.map(addressesOf)).toEqual(expectations.map(([, leadsTo]) => leadsTo));
    });

    test('the declared size counts against the quota', async () => {
      const { recipients } = await make(contents);
      expect((await recipients.resolveRecipient('bob@example.org', 100)).kind).toBe('local');
      expect((await recipients.resolveRecipient('bob@example.org', 101)).kind).toBe('over-quota');
      expect((await recipients.resolveRecipient('team@example.org', 101)).kind).toBe('over-quota');
      expect((await recipients.resolveRecipient('alice@example.org', 2 ** 50)).kind).toBe('local');
    });

    test('the accounts are those that log in', async () => {
      const { recipients, logins } = await make(contents);
      const verdict = await recipients.resolveRecipient('sales@example.org', 0);
      const account = await logins.accountByLogin('alice@example.org');
      expect(verdict).toEqual({
        kind: 'local',
        accounts: [{ accountId: account?.accountId, address: 'alice@example.org' }],
        forwards: [],
      });
    });

    test.each([
      ['alice@example.org', true],
      ['Sales@example.org', true],
      ['alice+shop@example.com', true],
      ['only-alice@example.org', true],
      ['team@example.org', false],
      ['bob@example.org', false],
      ['nobody@example.org', false],
      ['alice@remote.test', false],
      ['', false],
    ])('alice may send as %j: %s', async (address, expected) => {
      const { recipients, accountId } = await make(contents);
      expect(await recipients.maySendAs(accountId('alice@example.org'), address)).toBe(expected);
    });

    test('a suspended account may not send', async () => {
      const { recipients, accountId } = await make(contents);
      expect(await recipients.maySendAs(accountId('stopped@example.org'), 'stopped@example.org')).toBe(false);
      expect(await recipients.maySendAs(accountId('erin@closed.test'), 'erin@closed.test')).toBe(false);
    });

    test.each([
      ['none', { domains: [{ name: 'a.test' }], accounts: [{ address: 'x@a.test' }] }, null],
      [
        'that of the oldest domain that has one',
        {
          domains: [{ name: 'none.test' }, { name: 'old.test' }, { name: 'new.test' }],
          accounts: [{ address: 'postmaster@new.test' }, { address: 'x@old.test', aliases: ['Postmaster@old.test'] }],
        },
        'postmaster@old.test',
      ],
      [
        'an alias',
        {
          domains: [{ name: 'a.test' }],
          accounts: [{ address: 'x@a.test' }],
          aliases: [{ address: 'postmaster@a.test', members: ['x@a.test'] }],
        },
        'postmaster@a.test',
      ],
      [
        'an address before a catch-all',
        {
          domains: [{ name: 'a.test', catchAll: 'x@a.test' }, { name: 'b.test' }],
          accounts: [{ address: 'x@a.test' }, { address: 'postmaster@b.test' }],
        },
        'postmaster@b.test',
      ],
      [
        'a catch-all',
        {
          domains: [{ name: 'a.test' }, { name: 'b.test', catchAll: 'x@a.test' }],
          accounts: [{ address: 'x@a.test' }, { address: 'postmaster@a.test', retained: true }],
        },
        'postmaster@b.test',
      ],
      [
        'none of a suspended domain, and no deleted one before a catch-all',
        {
          domains: [
            { name: 'a.test', suspended: true },
            { name: 'b.test', catchAll: 'x@b.test' },
          ],
          accounts: [
            { address: 'postmaster@a.test' },
            { address: 'x@b.test' },
            { address: 'postmaster@b.test', retained: true },
          ],
        },
        null,
      ],
    ] satisfies [string, MemoryDirectoryContents, string | null][])('postmaster: %s', async (_, given, expected) => {
      const { recipients } = await make(given);
      expect(await recipients.findPostmaster()).toBe(expected);
    });

    test('a full mailbox may send', async () => {
      const { recipients, accountId } = await make(contents);
      expect(await recipients.maySendAs(accountId('full@example.org'), 'full@example.org')).toBe(true);
    });
  });

  describe(`${name}: logins`, () => {
    test.each([
      'alice@example.org',
      'Alice@Example.Org',
      'sales@example.org',
      'alice@example.com',
      'alice@caught.test',
    ])('%s is alice, with her credentials, the primary one first', async (login) => {
      const { logins, accountId } = await make(contents);
      expect(await logins.accountByLogin(login)).toEqual({
        accountId: accountId('alice@example.org'),
        address: 'alice@example.org',
        isSuspended: false,
        credentials: [
          { id: primaryId, version: 3n, passwordHash: '$argon2id$primary' },
          { id: appId, version: 1n, passwordHash: '$argon2id$app' },
        ],
      });
    });

    test.each([
      '',
      'alice',
      'nobody@example.org',
      'alice+x@example.org',
      'team@example.org',
      'x@caught.test',
      'a@remote.test',
    ])('%j is nobody', async (login) => {
      const { logins } = await make(contents);
      expect(await logins.accountByLogin(login)).toBeNull();
    });

    test.each(['stopped@example.org', 'erin@closed.test'])('%s is suspended', async (login) => {
      const { logins } = await make(contents);
      expect(await logins.accountByLogin(login)).toMatchObject({ isSuspended: true });
    });

    test('the last use is kept', async () => {
      const { logins, accountId, lastUse } = await make(contents);
      const key = { accountId: accountId('alice@example.org'), id: appId };
      await logins.noteUse([key], day);
      expect(await lastUse(key.accountId, key.id)).toEqual(day);
      expect(await lastUse(key.accountId, primaryId)).toBeNull();
    });

    test('a hash is replaced only as long as the password is the same', async () => {
      const { logins, accountId } = await make(contents);
      const key = { accountId: accountId('alice@example.org'), id: primaryId };
      await logins.replaceHash(key, 2n, 'of an older password');
      await logins.replaceHash({ ...key, id: appId }, 1n, 'newer');
      const account = await logins.accountByLogin('alice@example.org');
      expect(account?.credentials.map(({ passwordHash }) => passwordHash)).toEqual(['$argon2id$primary', 'newer']);
    });

    test('a first login in development mode makes an account, the next finds it', async () => {
      const { logins, recipients } = await make(contents);
      const made = await logins.findOrMakeAccount('New.Person@example.org');
      expect(made).toMatchObject({ address: 'new.person@example.org', isSuspended: false, credentials: [] });
      expect(await logins.findOrMakeAccount('new.person@example.com')).toEqual(made);
      expect(await recipients.resolveRecipient('new.person@example.org', 0)).toEqual({
        kind: 'local',
        accounts: [{ accountId: made?.accountId, address: 'new.person@example.org' }],
        forwards: [],
      });
      expect(await logins.findOrMakeAccount('sales@example.org')).toMatchObject({ address: 'alice@example.org' });
    });

    test('two first logins at once make one account', async () => {
      const { logins } = await make(contents);
      const made = await Promise.all([1, 2, 3].map(() => logins.findOrMakeAccount('new@example.org')));
      expect(new Set(made.map((account) => account?.accountId)).size).toBe(1);
    });

    test.each(['x@remote.test', 'team@example.org', 'gone@caught.test', 'no address'])(
      'a first login as %s makes none',
      async (login) => {
        const { logins } = await make(contents);
        expect(await logins.findOrMakeAccount(login)).toBeNull();
      },
    );
  });
}
