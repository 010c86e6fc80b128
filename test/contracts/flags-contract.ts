import { expect, test } from 'vitest';
import { flagBits } from '#server/mail/flags.ts';
import { uidSet, uidSetOf } from '#server/mail/uid-set.ts';
import { maxKeywordBytes, maxKeywords } from '#shared/base/limits.ts';
import { everyUid, faultOf, messagesOf, TestAccount, unknownMailbox, type StoreUnderTest } from './store-under-test.ts';

const { seen, answered, flagged, deleted, draft } = flagBits;

export function flagsContract(under: () => StoreUnderTest): void {
  async function stateAfter(account: TestAccount): Promise<readonly (readonly [number, readonly string[]])[]> {
    return messagesOf(await account.state()).map(({ flags, keywords }) => [flags, keywords] as const);
  }

  test('adds, removes and replaces flags and keywords', async () => {
    const account = await TestAccount.create(under());
    await account.append(3, { flags: seen, keywords: ['Old'] });
    await account.change(uidSetOf([1]), { mode: 'add', flags: answered | seen, keywords: ['New', 'Old'] });
    await account.change(uidSetOf([2]), { mode: 'remove', flags: seen | draft, keywords: ['old', 'Unknown'] });
    await account.change(uidSetOf([3]), { mode: 'replace', flags: flagged | deleted, keywords: ['New'] });
    expect(await stateAfter(account)).toEqual([
      [seen | answered, ['New', 'Old']],
      [0, []],
      [flagged | deleted, ['New']],
    ]);
    await account.change(everyUid, { mode: 'replace' });
    expect(await stateAfter(account)).toEqual([
      [0, []],
      [0, []],
      [0, []],
    ]);
  });

  test('resolves with the pages that hold the messages, as they are then', async () => {
    const account = await TestAccount.create(under());
    await account.append(700);
    const before = await account.state();
    const after = await account.change(
      uidSet([
        [250, 260],
        [5000, 6000],
      ]),
      { flags: seen, keywords: ['Work'] },
    );
    expect(after.pages.map(({ page }) => page)).toEqual([0, 1]);
    expect(after.mailbox).toMatchObject({ messages: 700, unseen: 689, keywords: ['Work'] });
    expect(after.mailbox.highestModSeq).toBeGreaterThan(before.mailbox.highestModSeq);
    const now = await account.state();
    expect(now.mailbox).toEqual(after.mailbox);
    expect(messagesOf(now).slice(0, 511)).toEqual(messagesOf(after));
    const changed = messagesOf(after).filter(({ modSeq }) => modSeq > before.mailbox.highestModSeq);
    expect(changed).toEqual(
      Array.from({ length: 11 }, (_, i) => ({
        uid: 250 + i,
        flags: seen,
        keywords: ['Work'],
        modSeq: after.mailbox.highestModSeq,
      })),
    );
  });

  test('where nothing becomes different still tells how the messages are', async () => {
    const account = await TestAccount.create(under());
    await account.append(2, { flags: seen });
    const state = await account.change(everyUid, { mode: 'add', flags: seen });
    expect(messagesOf(state).map(({ uid, flags }) => [uid, flags])).toEqual([
      [1, seen],
      [2, seen],
    ]);
  });

  test('of messages that are gone changes nothing', async () => {
    const account = await TestAccount.create(under());
    await account.append(1);
    const before = await account.state();
    const state = await account.change(uidSetOf([2, 300, 0xffff_ffff]), { flags: seen, keywords: ['never-set'] });
    expect(state.mailbox.keywords).toEqual([]);
    expect(messagesOf(state).filter(({ uid }) => uid !== 1)).toEqual([]);
    expect(await stateAfter(account)).toEqual([[0, []]]);
    const { highestModSeq, keywords } = await account.mailbox('INBOX');
    expect(highestModSeq).toBe(before.mailbox.highestModSeq);
    // There is room for few, and none is ever given back.
    expect(keywords).toEqual([]);
  });

  test('keywords are one in any ASCII case and keep their first spelling', async () => {
    const account = await TestAccount.create(under());
    await account.append(2);
    await account.change(uidSetOf([1]), { keywords: ['$Forwarded'] });
    await account.change(uidSetOf([2]), { keywords: ['$FORWARDED'] });
    expect(await stateAfter(account)).toEqual([
      [0, ['$Forwarded']],
      [0, ['$Forwarded']],
    ]);
    expect((await account.mailbox('INBOX')).keywords).toEqual(['$Forwarded']);
    expect((await account.mailbox('Sent')).keywords).toEqual([]);
  });

  test('keywords beyond the first byte and back', async () => {
    const account = await TestAccount.create(under());
    await account.append(300, { keywords: ['first'] });
    const many = Array.from({ length: maxKeywords - 1 }, (_, i) => `k${i}`);
    await account.change(uidSetOf([2, 299]), { keywords: many });
    await account.change(uidSetOf([299]), { mode: 'remove', keywords: many.slice(1) });
    const messages = messagesOf(await account.state());
    expect(messages[1]?.keywords).toEqual(['first', ...many].toSorted());
    expect(messages[298]?.keywords).toEqual(['first', 'k0']);
    expect(messages[0]?.keywords).toEqual(['first']);
  });

  test('refuses too many keywords and too long ones, and then changes nothing', async () => {
    const account = await TestAccount.create(under());
    await account.append(1, { keywords: Array.from({ length: maxKeywords }, (_, i) => `k${i}`) });
    const before = await account.state();
    expect((await faultOf(account.change(everyUid, { flags: seen, keywords: ['more'] }))).kind).toBe('limit');
    const long = 'x'.repeat(maxKeywordBytes + 1);
    const other = await account.create('Other');
    expect((await faultOf(account.change(everyUid, { keywords: [long] }, other.id))).kind).toBe('limit');
    // To remove one that is not there needs no room.
    await account.change(everyUid, { mode: 'remove', keywords: ['more'] });
    expect(messagesOf(await account.state())).toEqual(messagesOf(before));
  });

  test('at the same time loses no change', async () => {
    const account = await TestAccount.create(under());
    await account.append(10);
    const flags = [seen, answered, flagged, deleted, draft];
    await Promise.all([
      ...flags.map((flag) => account.change(everyUid, { flags: flag })),
      ...['a', 'b', 'c', 'd'].map((keyword) => account.change(everyUid, { keywords: [keyword] })),
      account.deliver(),
    ]);
    const messages = messagesOf(await account.state());
    expect(messages).toHaveLength(11);
    for (const message of messages.slice(0, 10)) {
      expect(message).toMatchObject({ flags: 31, keywords: ['a', 'b', 'c', 'd'] });
    }
  });

  test('changes of different messages at once: each is told what is there, one that is refused holds up no other', async () => {
    const account = await TestAccount.create(under());
    await account.append(300);
    const uids = Array.from({ length: 30 }, (_, i) => i * 10 + 1);
    const results = await Promise.all([
      faultOf(account.change(uidSetOf([2]), { flags: seen, keywords: ['x'.repeat(maxKeywordBytes + 1)] })),
      ...uids.map((uid) => account.change(uidSetOf([uid]), { flags: flagged, keywords: [`k${uid % 7}`] })),
      account.change(uidSetOf([3]), {}),
    ] as const);
    expect((results[0] as { kind: string }).kind).toBe('limit');
    const states = results.slice(1, -1) as Awaited<ReturnType<typeof account.change>>[];
    for (const [i, state] of states.entries()) {
      const uid = uids[i] ?? 0;
      const told = messagesOf(state).find((message) => message.uid === uid);
      expect(told).toMatchObject({ flags: flagged, keywords: [`k${uid % 7}`] });
      expect(state.before).toBeLessThan(state.mailbox.highestModSeq);
    }
    const now = messagesOf(await account.state());
    expect(now.filter(({ flags }) => flags === flagged).map(({ uid }) => uid)).toEqual(uids);
    expect(now[1]).toMatchObject({ flags: 0, keywords: [] });
    // Who knew the mailbox before a change knows it after it, by the pages told.
    for (const { before, mailbox, pages } of states) {
      const changed = now.filter(({ modSeq }) => modSeq > before && modSeq <= mailbox.highestModSeq);
      const told = new Set(pages.flatMap((page) => messagesOf({ mailbox, pages: [page] }).map(({ uid }) => uid)));
      expect(changed.every(({ uid }) => told.has(uid))).toBe(true);
    }
  });

  test('refuses a mailbox that is not there or not the account’s', async () => {
    const account = await TestAccount.create(under());
    const stranger = await TestAccount.create(under());
    await stranger.append(1);
    for (const id of [unknownMailbox, stranger.inboxId]) {
      expect((await faultOf(account.change(everyUid, { flags: seen }, id))).kind).toBe('no-such-mailbox');
    }
    expect(await stateAfter(stranger)).toEqual([[0, []]]);
  });
}
