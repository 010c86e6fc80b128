import { expect, test } from 'vitest';
import { flagBits } from '#server/mail/flags.ts';
import type { AppendItem } from '#server/mail/ports.ts';
import { formatUidSet } from '#server/mail/uid-set.ts';
import { maxKeywords } from '#shared/base/limits.ts';
import { spooled } from '../harness/message.ts';
import { faultOf, letter, messagesOf, TestAccount, unknownMailbox, type StoreUnderTest } from './store-under-test.ts';

export function appendContract(under: () => StoreUnderTest): void {
  test('stores all items in order, each with its flags, keywords and date', async () => {
    const account = await TestAccount.create(under());
    await account.deliver();
    await using first = await spooled(letter('first'));
    await using second = await spooled(letter('second'));
    const date = new Date('1999-12-31T23:59:59Z');
    const items: AppendItem[] = [
      { message: first, flags: flagBits.seen, keywords: [], internalDate: date },
      { message: second, flags: flagBits.draft, keywords: ['Later'], internalDate: null },
    ];
    const before = Date.now();
    const { uidValidity, uids } = await account.store.append(account.id, account.inboxId, items);
    expect(uidValidity).toBe((await account.mailbox('INBOX')).uidValidity);
    expect(formatUidSet(uids)).toBe('2:3');
    const messages = await account.fetch({ flags: true, internalDate: true }, uids);
    expect(messages).toMatchObject([
      { uid: 2, flags: flagBits.seen, keywords: [], internalDate: date },
      { uid: 3, flags: flagBits.draft, keywords: ['Later'] },
    ]);
    expect(messages[1]?.internalDate?.getTime()).toBeGreaterThanOrEqual(before - 1000);
    const bodies = await account.bodies();
    expect(bodies.slice(1).map((body) => /Subject: (\w+)/.exec(body)?.[1])).toEqual(['first', 'second']);
  });

  test('finds the mailbox by its name', async () => {
    const account = await TestAccount.create(under());
    const { id } = await account.store.createMailbox(account.id, 'Work/ä', null);
    await using message = await spooled(letter());
    const item: AppendItem = { message, flags: flagBits.seen, keywords: [], internalDate: null };
    const appended = await account.store.append(account.id, 'Work/ä', [item]);
    expect(appended).toMatchObject({ mailboxId: id, uids: [[1, 1]] });
    expect(await account.store.append(account.id, 'Work/ä', [{ ...item, keywords: ['Later'] }, item])).toMatchObject({
      mailboxId: id,
      uids: [[2, 3]],
    });
    expect(await account.store.append(account.id, 'inbox', [item])).toMatchObject({ mailboxId: account.inboxId });
    expect((await faultOf(account.store.append(account.id, 'Nowhere', [item]))).kind).toBe('no-such-mailbox');
    await account.store.renameMailbox(account.id, id, 'Play');
    expect((await faultOf(account.store.append(account.id, 'Work/ä', [item]))).kind).toBe('no-such-mailbox');
    // Neighbours of one turn, of which some are stored together.
    const names = ['Play', 'INBOX', 'Nowhere', 'Play', 'INBOX'];
    const outcomes = await Promise.allSettled(names.map((name) => account.store.append(account.id, name, [item])));
    expect(outcomes.map((outcome) => (outcome.status === 'fulfilled' ? outcome.value.mailboxId : null))).toEqual([
      id,
      account.inboxId,
      null,
      id,
      account.inboxId,
    ]);
  });

  test('by name, too, nothing is stored over quota', async () => {
    const raw = letter();
    const account = await TestAccount.create(under(), raw.length);
    await using message = await spooled(raw);
    const item: AppendItem = { message, flags: 0, keywords: [], internalDate: null };
    await account.store.append(account.id, 'INBOX', [item]);
    const refused = await faultOf(account.store.append(account.id, 'INBOX', [item]));
    expect(refused).toEqual({ kind: 'over-quota', limitBytes: raw.length });
    expect(await account.uids()).toEqual([1]);
  });

  test('puts nothing before the bytes', async () => {
    const account = await TestAccount.create(under());
    const raw = letter();
    await account.append(1, { raw });
    expect(await account.bodies()).toEqual([raw]);
  });

  test('many at once keep their order and fill several pages', async () => {
    const account = await TestAccount.create(under());
    expect(formatUidSet(await account.append(600))).toBe('1:600');
    const state = await account.state();
    expect(state.mailbox).toMatchObject({ messages: 600, unseen: 600, uidNext: 601 });
    expect(messagesOf(state).map(({ uid }) => uid)).toEqual(Array.from({ length: 600 }, (_, i) => i + 1));
  });

  test('over quota nothing is stored', async () => {
    const raw = letter();
    const account = await TestAccount.create(under(), raw.length * 3);
    await account.append(2, { raw });
    expect(await faultOf(account.append(2, { raw }))).toEqual({ kind: 'over-quota', limitBytes: raw.length * 3 });
    expect(await account.uids()).toEqual([1, 2]);
    await account.append(1, { raw });
    expect(await account.store.quota(account.id)).toEqual({ usedBytes: raw.length * 3, limitBytes: raw.length * 3 });
  });

  test('without a limit there is none', async () => {
    const account = await TestAccount.create(under());
    expect(await account.store.quota(account.id)).toEqual({ usedBytes: 0, limitBytes: null });
  });

  test('refuses a mailbox that is not there or not the account’s', async () => {
    const account = await TestAccount.create(under());
    const stranger = await TestAccount.create(under());
    for (const mailboxId of [unknownMailbox, stranger.inboxId]) {
      expect((await faultOf(account.append(1, { mailboxId }))).kind).toBe('no-such-mailbox');
    }
  });

  test('refuses more keywords than a mailbox holds, and then stores nothing', async () => {
    const account = await TestAccount.create(under());
    const keywords = Array.from({ length: maxKeywords }, (_, i) => `k${i}`);
    await account.append(1, { keywords });
    expect((await faultOf(account.append(1, { keywords: ['one-more'] }))).kind).toBe('limit');
    await account.append(1, { keywords: ['K7'] });
    const messages = messagesOf(await account.state());
    expect(messages.map(({ keywords }) => keywords)).toEqual([keywords.toSorted(), ['k7']]);
  });
}
