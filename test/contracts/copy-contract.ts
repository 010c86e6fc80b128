import { describe, expect, test } from 'vitest';
import { flagBits } from '#server/mail/flags.ts';
import { formatUidSet, uidSet, uidSetOf } from '#server/mail/uid-set.ts';
import {
  everyUid,
  faultOf,
  letter,
  messagesOf,
  TestAccount,
  unknownMailbox,
  type StoreUnderTest,
} from './store-under-test.ts';

const { seen, flagged, deleted } = flagBits;

export function copyContract(under: () => StoreUnderTest): void {
  describe.each(['copy', 'move'] as const)('%s', (verb) => {
    sharedContract(under, verb);
  });
  describe('copy alone', () => {
    copyOnlyContract(under);
  });
  describe('move alone', () => {
    moveOnlyContract(under);
  });
}

function sharedContract(under: () => StoreUnderTest, verb: 'copy' | 'move'): void {
  test('keeps bytes, flags, keywords, date and email id, in the order of UIDs', async () => {
    const account = await TestAccount.create(under());
    const work = await account.create('Work');
    // The target knows the keywords in another order.
    await account.append(1, { mailboxId: work.id, keywords: ['B', 'C'] });
    const date = new Date('2001-02-03T04:05:06Z');
    await account.append(1, { raw: letter('one'), flags: seen, keywords: ['A', 'b'], internalDate: date });
    await account.append(1, { raw: letter('two') });
    await account.append(1, { raw: letter('three'), flags: flagged | deleted, keywords: ['C'] });
    const emails = (await account.fetch({ emailId: true })).map(({ emailId }) => emailId);
    const copied = await account.store[verb](account.id, account.inboxId, uidSetOf([3, 1, 999]), work.id);
    expect(copied.uidValidity).toBe(work.uidValidity);
    expect(formatUidSet(copied.source)).toBe('1,3');
    expect(formatUidSet(copied.destination)).toBe('2:3');
    const there = messagesOf(await account.state(work.id)).slice(1);
    expect(there.map(({ flags, keywords }) => ({ flags, keywords: keywords.map((k) => k.toLowerCase()) }))).toEqual([
      { flags: seen, keywords: ['a', 'b'] },
      { flags: flagged | deleted, keywords: ['c'] },
    ]);
    const fetched = await account.fetch({ emailId: true, internalDate: true }, copied.destination, work.id);
    expect(fetched.map(({ emailId }) => emailId)).toEqual([emails[0], emails[2]]);
    expect(fetched[0]?.internalDate).toEqual(date);
    const subjects = (await account.bodies(work.id)).slice(1).map((body) => /Subject: (\w+)/.exec(body)?.[1]);
    expect(subjects).toEqual(['one', 'three']);
    expect(await account.uids()).toEqual(verb === 'copy' ? [1, 2, 3] : [2]);
    const raw = await account.mailbox('Work');
    expect(raw).toMatchObject({ messages: 3, unseen: 2, uidNext: 4 });
  });

  test('of many messages pairs the sets n to n', async () => {
    const account = await TestAccount.create(under());
    const work = await account.create('Work');
    await account.append(700);
    const odd = uidSetOf(Array.from({ length: 350 }, (_, i) => i * 2 + 1));
    const copied = await account.store[verb](account.id, account.inboxId, odd, work.id);
    expect(copied.source).toEqual(odd);
    expect(formatUidSet(copied.destination)).toBe('1:350');
    expect(await account.uids(work.id)).toHaveLength(350);
    expect((await account.mailbox('INBOX')).messages).toBe(verb === 'copy' ? 700 : 350);
  });

  test('of nothing is nothing', async () => {
    const account = await TestAccount.create(under());
    const work = await account.create('Work');
    const copied = await account.store[verb](account.id, account.inboxId, uidSet([[1, 10]]), work.id);
    expect(copied).toEqual({ uidValidity: work.uidValidity, source: [], destination: [] });
  });

  test('copies are \\Recent in their mailbox', async () => {
    const account = await TestAccount.create(under());
    const work = await account.create('Work');
    await account.append(2);
    await account.store.claimRecent(account.id, account.inboxId, (await account.mailbox('INBOX')).uidNext);
    await account.store[verb](account.id, account.inboxId, everyUid, work.id);
    expect((await account.mailbox('Work')).recentFrom).toBe(1);
  });

  test('refuses mailboxes that are not there or not the account’s', async () => {
    const account = await TestAccount.create(under());
    const stranger = await TestAccount.create(under());
    await account.append(1);
    await stranger.append(1);
    for (const id of [unknownMailbox, stranger.inboxId]) {
      const into = account.store[verb](account.id, account.inboxId, everyUid, id);
      expect((await faultOf(into)).kind).toBe('no-such-mailbox');
      const outOf = account.store[verb](account.id, id, everyUid, account.inboxId);
      expect((await faultOf(outOf)).kind).toBe('no-such-mailbox');
    }
    expect(await account.uids()).toEqual([1]);
    expect(await stranger.uids()).toEqual([1]);
  });

  test('into its own mailbox gives new UIDs and loses nothing', async () => {
    const account = await TestAccount.create(under());
    const raw = letter();
    await account.append(2, { raw });
    const copied = await account.store[verb](account.id, account.inboxId, uidSetOf([1]), account.inboxId);
    expect(formatUidSet(copied.destination)).toBe('3');
    expect(await account.uids()).toEqual(verb === 'copy' ? [1, 2, 3] : [2, 3]);
    expect(await account.bodies()).toEqual(verb === 'copy' ? [raw, raw, raw] : [raw, raw]);
  });
}

function copyOnlyContract(under: () => StoreUnderTest): void {
  test('shares the blob and counts for the quota', async () => {
    const raw = letter();
    const account = await TestAccount.create(under(), raw.length * 3);
    await account.append(2, { raw });
    const blobs = await under().countBlobs();
    const sent = await account.mailbox('Sent');
    const all = account.store.copy(account.id, account.inboxId, everyUid, sent.id);
    expect(await faultOf(all)).toEqual({ kind: 'over-quota', limitBytes: raw.length * 3 });
    expect(await account.uids(sent.id)).toEqual([]);
    await account.store.copy(account.id, account.inboxId, uidSetOf([2]), sent.id);
    expect(await under().countBlobs()).toBe(blobs);
    expect((await account.store.quota(account.id)).usedBytes).toBe(raw.length * 3);
    expect(await account.mailbox('Sent')).toMatchObject({ messages: 1, sizeBytes: raw.length });
  });

  test('lives on when the original goes', async () => {
    const account = await TestAccount.create(under());
    const raw = letter();
    await account.append(1, { raw, flags: deleted });
    const sent = await account.mailbox('Sent');
    await account.store.copy(account.id, account.inboxId, everyUid, sent.id);
    await account.store.expunge(account.id, account.inboxId, null);
    expect(await account.bodies(sent.id)).toEqual([raw]);
  });
}

function moveOnlyContract(under: () => StoreUnderTest): void {
  test('needs no room, and changes no use of it', async () => {
    const raw = letter();
    const account = await TestAccount.create(under(), raw.length);
    await account.append(1, { raw });
    const before = await account.state();
    const sent = await account.mailbox('Sent');
    await account.store.move(account.id, account.inboxId, everyUid, sent.id);
    expect((await account.store.quota(account.id)).usedBytes).toBe(raw.length);
    expect(await account.mailbox('INBOX')).toMatchObject({ messages: 0, unseen: 0, sizeBytes: 0, uidNext: 2 });
    const diff = await account.state(account.inboxId, before.mailbox.highestModSeq);
    expect(diff.pages.map(({ page }) => page)).toEqual([0]);
    expect(messagesOf(diff)).toEqual([]);
  });

  test('by two sessions at once leaves each message in one place', async () => {
    const account = await TestAccount.create(under());
    const [sent, trash] = [await account.mailbox('Sent'), await account.mailbox('Trash')];
    await account.append(50);
    const outcomes = await Promise.all([
      account.store.move(account.id, account.inboxId, uidSet([[1, 40]]), sent.id),
      account.store.move(account.id, account.inboxId, uidSet([[20, 50]]), trash.id),
      account.store.move(account.id, sent.id, everyUid, trash.id),
    ]);
    expect(outcomes).toHaveLength(3);
    const counts = [await account.uids(), await account.uids(sent.id), await account.uids(trash.id)].map(
      (uids) => uids.length,
    );
    expect(counts[0]).toBe(0);
    expect((counts[1] ?? 0) + (counts[2] ?? 0)).toBe(50);
    const emails = await Promise.all([sent, trash].map(({ id }) => account.fetch({ emailId: true }, everyUid, id)));
    expect(new Set(emails.flat().map(({ emailId }) => emailId)).size).toBe(50);
  });
}
