import { setImmediate } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { flagBits } from '#server/mail/flags.ts';
import { forEachChangedUid, forEachVanishedUid } from '#server/mail/mailbox-page.ts';
import { uidSet, uidSetOf } from '#server/mail/uid-set.ts';
import type { ModSeq, Uid } from '#shared/base/ids.ts';
import {
  everyUid,
  messagesOf,
  noModSeq,
  TestAccount,
  unknownMailbox,
  type StoreUnderTest,
} from './store-under-test.ts';

export function stateContract(under: () => StoreUnderTest): void {
  test('from 0 has every page, ascending, and agrees with its header', async () => {
    const account = await TestAccount.create(under());
    await account.append(700, { flags: flagBits.flagged });
    await account.change(uidSet([[1, 5]]), { flags: flagBits.seen });
    const { mailbox, pages } = await account.state();
    expect(pages.map(({ page }) => page)).toEqual([0, 1, 2]);
    const messages = messagesOf({ mailbox, pages });
    expect(messages).toHaveLength(mailbox.messages);
    expect(messages.filter(({ flags }) => (flags & flagBits.seen) === 0)).toHaveLength(mailbox.unseen);
    expect(Math.max(...messages.map(({ modSeq }) => modSeq))).toBe(mailbox.highestModSeq);
    expect(await account.mailbox('INBOX')).toEqual(mailbox);
  });

  test('since a modseq has only the pages that changed after it', async () => {
    const account = await TestAccount.create(under());
    await account.append(700);
    const at = (await account.state()).mailbox.highestModSeq;
    expect((await account.state(account.inboxId, at)).pages).toEqual([]);
    await account.change(uidSetOf([300]), { flags: flagBits.seen });
    const diff = await account.state(account.inboxId, at);
    expect(diff.pages.map(({ page }) => page)).toEqual([1]);
    const changed: number[] = [];
    for (const page of diff.pages) forEachChangedUid(page, at, (uid) => changed.push(uid));
    expect(changed).toEqual([300]);
    await account.append(1);
    expect((await account.state(account.inboxId, at)).pages.map(({ page }) => page)).toEqual([1, 2]);
    expect((await account.state(account.inboxId, diff.mailbox.highestModSeq)).pages.map(({ page }) => page)).toEqual([
      2,
    ]);
  });

  test('since a modseq has the pages that became empty', async () => {
    const account = await TestAccount.create(under());
    await account.append(300);
    await account.change(uidSet([[257, 300]]), { flags: flagBits.deleted });
    await account.change(uidSetOf([256]), { flags: flagBits.deleted });
    const at = (await account.state()).mailbox.highestModSeq;
    await account.store.expunge(account.id, account.inboxId, null);
    const diff = await account.state(account.inboxId, at);
    expect(diff.pages.map(({ page }) => page)).toEqual([1]);
    expect(messagesOf(diff)).toEqual([]);
    const vanished: number[] = [];
    for (const page of diff.pages) forEachVanishedUid(page, at, (uid) => vanished.push(uid));
    expect(vanished).toEqual(Array.from({ length: 45 }, (_, i) => 256 + i));
  });

  test('a header and its pages are of one moment', async () => {
    const account = await TestAccount.create(under());
    let writing = true;
    const write = async () => {
      for (let i = 0; i < 20; i++) await account.deliver();
    };
    const writer = write().finally(() => {
      writing = false;
    });
    let since = noModSeq;
    const seen = new Set<number>();
    for (let last = false; !last;) {
      last = !writing;
      const state = await account.state(account.inboxId, since);
      const messages = messagesOf(await account.state());
      const ofDiff = messagesOf(state);
      for (const { uid, modSeq } of ofDiff) {
        seen.add(uid);
        expect(uid).toBeLessThan(state.mailbox.uidNext);
        expect(modSeq).toBeLessThanOrEqual(state.mailbox.highestModSeq);
      }
      // One page: a diff with it holds the whole mailbox.
      if (ofDiff.length > 0) expect(ofDiff).toHaveLength(state.mailbox.messages);
      expect(messages.length).toBeGreaterThanOrEqual(state.mailbox.messages);
      expect(seen.size).toBe(state.mailbox.messages);
      since = state.mailbox.highestModSeq;
      await setImmediate();
    }
    await writer;
    expect(seen.size).toBe(20);
  });

  test('of a mailbox that is gone or another account’s is null', async () => {
    const account = await TestAccount.create(under());
    const stranger = await TestAccount.create(under());
    expect(await account.store.readState(account.id, unknownMailbox, noModSeq)).toBeNull();
    expect(await account.store.readState(account.id, stranger.inboxId, noModSeq)).toBeNull();
  });

  test('claimRecent gives each message to one session', async () => {
    const account = await TestAccount.create(under());
    const claim = (before: number) => account.store.claimRecent(account.id, account.inboxId, before as Uid);
    await account.append(3);
    expect((await account.state()).mailbox.recentFrom).toBe(1);
    expect(await claim(4)).toBe(1);
    expect(await claim(4)).toBe(4);
    expect((await account.mailbox('INBOX')).recentFrom).toBe(4);
    await account.append(2);
    // An older view doesn't move the mark back.
    expect(await claim(2)).toBe(4);
    const marks = await Promise.all([claim(6), claim(6), claim(6)]);
    expect(marks.toSorted((a, b) => a - b)).toEqual([4, 6, 6]);
  });

  test('a modseq grows with every change, also over several mailboxes', async () => {
    const account = await TestAccount.create(under());
    const work = await account.create('Work');
    const seen: ModSeq[] = [];
    const note = async (id = account.inboxId) => seen.push((await account.state(id)).mailbox.highestModSeq);
    await account.append(2);
    await note();
    await account.append(1, { mailboxId: work.id });
    await note(work.id);
    await account.change(everyUid, { flags: flagBits.deleted });
    await note();
    await account.store.copy(account.id, account.inboxId, uidSetOf([1]), work.id);
    await note(work.id);
    await account.store.expunge(account.id, account.inboxId, null);
    await note();
    await account.store.move(account.id, work.id, everyUid, account.inboxId);
    await note();
    expect(seen).toEqual([...new Set(seen)].toSorted((a, b) => a - b));
    expect((await account.state(work.id)).mailbox.highestModSeq).toBeGreaterThan(seen[3] ?? 0);
  });
}
