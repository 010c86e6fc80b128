import { expect, test } from 'vitest';
import { flagBits } from '#server/mail/flags.ts';
import { formatUidSet, uidSet, uidSetOf } from '#server/mail/uid-set.ts';
import {
  bytesOf,
  everyUid,
  faultOf,
  letter,
  messagesOf,
  TestAccount,
  unknownMailbox,
  type StoreUnderTest,
} from './store-under-test.ts';

const { seen, deleted } = flagBits;

export function expungeContract(under: () => StoreUnderTest): void {
  test('removes what is \\Deleted, and that alone', async () => {
    const account = await TestAccount.create(under());
    const raw = letter();
    await account.append(10, { raw });
    await account.change(uidSetOf([2, 3, 4, 9]), { flags: deleted });
    await account.change(uidSetOf([1]), { flags: seen });
    const removed = await account.store.expunge(account.id, account.inboxId, null);
    expect(formatUidSet(removed)).toBe('2:4,9');
    expect(await account.uids()).toEqual([1, 5, 6, 7, 8, 10]);
    expect((await account.fetch({})).map(({ uid }) => uid)).toEqual([1, 5, 6, 7, 8, 10]);
    const inbox = await account.mailbox('INBOX');
    expect(inbox).toMatchObject({ messages: 6, unseen: 5, uidNext: 11, sizeBytes: raw.length * 6 });
    expect((await account.store.quota(account.id)).usedBytes).toBe(raw.length * 6);
  });

  test('of some UIDs leaves the others that are \\Deleted', async () => {
    const account = await TestAccount.create(under());
    await account.append(5);
    await account.change(uidSet([[2, 5]]), { flags: deleted });
    const removed = await account.store.expunge(
      account.id,
      account.inboxId,
      uidSet([
        [1, 3],
        [900, 1000],
      ]),
    );
    expect(formatUidSet(removed)).toBe('2:3');
    expect(await account.uids()).toEqual([1, 4, 5]);
  });

  test('of nothing changes nothing', async () => {
    const account = await TestAccount.create(under());
    await account.append(2);
    const before = await account.state();
    expect(await account.store.expunge(account.id, account.inboxId, null)).toEqual([]);
    expect(await account.state()).toEqual(before);
  });

  test('a UID never comes back', async () => {
    const account = await TestAccount.create(under());
    await account.append(3, { flags: deleted });
    await account.store.expunge(account.id, account.inboxId, null);
    expect(formatUidSet(await account.append(1))).toBe('4');
    expect((await account.mailbox('INBOX')).uidNext).toBe(5);
  });

  test('many pages at once', async () => {
    const account = await TestAccount.create(under());
    await account.append(1000, { flags: deleted });
    await account.change(uidSetOf([500]), { mode: 'remove', flags: deleted });
    const at = (await account.state()).mailbox.highestModSeq;
    const removed = await account.store.expunge(account.id, account.inboxId, null);
    expect(formatUidSet(removed)).toBe('1:499,501:1000');
    const diff = await account.state(account.inboxId, at);
    expect(diff.pages.map(({ page }) => page)).toEqual([0, 1, 2, 3]);
    expect(messagesOf(diff).map(({ uid }) => uid)).toEqual([500]);
  });

  test('by two sessions at once names each message once', async () => {
    const account = await TestAccount.create(under());
    await account.append(30, { flags: deleted });
    const removed = await Promise.all(
      [uidSet([[1, 20]]), uidSet([[10, 30]]), null].map((uids) =>
        account.store.expunge(account.id, account.inboxId, uids),
      ),
    );
    const uids = removed
      .flat()
      .flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, i) => first + i));
    expect(uids.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
    expect((await account.store.quota(account.id)).usedBytes).toBe(0);
  });

  test('a message that a session is reading can be read to its end', async () => {
    const account = await TestAccount.create(under());
    const raw = letter('large', 'x'.repeat(2 * 1024 * 1024));
    await account.append(1, { raw, flags: deleted });
    const [fetched] = await account.fetch({ content: true });
    await account.store.expunge(account.id, account.inboxId, null);
    expect(fetched?.content && (await bytesOf(fetched.content)).toString('latin1') === raw).toBe(true);
  });

  test('refuses a mailbox that is not there or not the account’s', async () => {
    const account = await TestAccount.create(under());
    const stranger = await TestAccount.create(under());
    await stranger.append(1, { flags: deleted });
    for (const id of [unknownMailbox, stranger.inboxId]) {
      expect((await faultOf(account.store.expunge(account.id, id, everyUid))).kind).toBe('no-such-mailbox');
    }
    expect(await stranger.uids()).toEqual([1]);
  });
}
