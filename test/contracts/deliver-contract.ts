import { expect, test } from 'vitest';
import { flagBits } from '#server/mail/flags.ts';
import type { Delivery } from '#server/mail/ports.ts';
import { spooled } from '../harness/message.ts';
import {
  bytesOf,
  faultOf,
  letter,
  messagesOf,
  TestAccount,
  unknownAccount,
  unknownMailbox,
  type StoreUnderTest,
} from './store-under-test.ts';

function delivery(account: TestAccount, rest: Partial<Delivery> = {}): Delivery {
  return { accountId: account.id, mailboxId: null, prefix: Buffer.alloc(0), flags: 0, keywords: [], ...rest };
}

export function deliverContract(under: () => StoreUnderTest): void {
  test('one message to three accounts is stored once, under the trace fields of each', async () => {
    const accounts = [
      await TestAccount.create(under()),
      await TestAccount.create(under()),
      await TestAccount.create(under()),
    ];
    const raw = letter();
    const blobs = await under().countBlobs();
    await using message = await spooled(raw);
    const prefixes = accounts.map((_, i) => `Delivered-To: bob${i}@example.net\r\n`);
    // Not in the order of the accounts' ids: the answer follows the deliveries.
    const order = [1, 2, 0];
    const delivered = await under().store.deliver(
      message,
      order.map((i) => delivery(accounts[i] as TestAccount, { prefix: Buffer.from(prefixes[i] ?? '') })),
    );
    expect(delivered.map(({ mailboxId }) => mailboxId)).toEqual(order.map((i) => accounts[i]?.inboxId));
    expect(delivered.map(({ uid }) => uid)).toEqual([1, 1, 1]);
    expect(await under().countBlobs()).toBe(blobs + 1);
    for (const [i, account] of accounts.entries()) {
      expect(await account.bodies()).toEqual([`${prefixes[i]}${raw}`]);
      const sizes = (await account.fetch({ size: true })).map(({ size }) => size);
      expect(sizes).toEqual([raw.length + (prefixes[i]?.length ?? 0)]);
    }
  });

  test('the same bytes once more make another message but no further blob', async () => {
    const account = await TestAccount.create(under());
    const raw = letter();
    await account.deliver({ raw });
    const blobs = await under().countBlobs();
    await account.deliver({ raw });
    expect(await under().countBlobs()).toBe(blobs);
    const [first, second] = await account.fetch({ emailId: true });
    expect([first?.uid, second?.uid]).toEqual([1, 2]);
    expect(first?.emailId).not.toBe(second?.emailId);
  });

  test('goes where it is told, with flags and keywords', async () => {
    const account = await TestAccount.create(under());
    const lists = await account.create('Lists');
    const flags = flagBits.seen | flagBits.flagged;
    const delivered = await account.deliver({ mailboxId: lists.id, flags, keywords: ['$Junk', 'Work'] });
    expect(delivered.mailboxId).toBe(lists.id);
    const state = await account.state(lists.id);
    expect(messagesOf(state)).toEqual([{ uid: 1, flags, keywords: ['$Junk', 'Work'], modSeq: delivered.modSeq }]);
    expect(state.mailbox).toMatchObject({ messages: 1, unseen: 0 });
    expect(await account.uids()).toEqual([]);
  });

  test('the mailbox counts along', async () => {
    const account = await TestAccount.create(under());
    const before = await account.mailbox('INBOX');
    const [first, second] = [letter(), letter('a longer subject')];
    await account.deliver({ raw: first });
    const { modSeq } = await account.deliver({ raw: second, flags: flagBits.seen });
    const inbox = await account.mailbox('INBOX');
    expect(inbox).toMatchObject({ messages: 2, unseen: 1, uidNext: 3, sizeBytes: first.length + second.length });
    expect(inbox.uidValidity).toBe(before.uidValidity);
    expect(inbox.highestModSeq).toBe(modSeq);
    expect(modSeq).toBeGreaterThan(before.highestModSeq);
    expect((await account.store.quota(account.id)).usedBytes).toBe(first.length + second.length);
  });

  test('INTERNALDATE is the time of delivery', async () => {
    const account = await TestAccount.create(under());
    const before = Date.now();
    await account.deliver();
    const [message] = await account.fetch({ internalDate: true });
    // RFC 3501 section 9, "date-time": seconds are all there is.
    expect(message?.internalDate?.getTime()).toBeGreaterThanOrEqual(before - 1000);
    expect(message?.internalDate?.getTime()).toBeLessThanOrEqual(Date.now() + 1000);
  });

  test('one account may get a message in several mailboxes, and twice in one', async () => {
    const account = await TestAccount.create(under());
    const lists = await account.create('Lists');
    await using message = await spooled(letter());
    const places = [null, lists.id, null].map((mailboxId) => delivery(account, { mailboxId }));
    const delivered = await under().store.deliver(message, places);
    expect(delivered.map(({ mailboxId, uid }) => [mailboxId, uid])).toEqual([
      [account.inboxId, 1],
      [lists.id, 1],
      [account.inboxId, 2],
    ]);
  });

  test('at the same time, to accounts in any order, gives every message a UID of its own', async () => {
    const accounts = [await TestAccount.create(under()), await TestAccount.create(under())];
    const subjects = Array.from({ length: 60 }, (_, i) => `parallel ${i}`);
    const results = await Promise.all(
      subjects.map(async (subject, i) => {
        await using message = await spooled(letter(subject));
        const order = i % 2 === 0 ? accounts : accounts.toReversed();
        return under().store.deliver(
          message,
          order.map((account) => delivery(account)),
        );
      }),
    );
    for (const account of accounts) {
      const delivered = results.flat().filter(({ mailboxId }) => mailboxId === account.inboxId);
      const ascending = delivered.toSorted((a, b) => a.uid - b.uid);
      expect(await account.uids()).toEqual(ascending.map(({ uid }) => uid));
      expect(new Set(ascending.map(({ uid }) => uid)).size).toBe(subjects.length);
      // A UID that comes later has no lower modseq: a client that has seen n has seen all below.
      const modSeqs = ascending.map(({ modSeq }) => modSeq);
      expect(modSeqs).toEqual(modSeqs.toSorted((a, b) => a - b));
      const bodies = await account.bodies();
      for (const subject of subjects) {
        expect(bodies.filter((body) => body.includes(`Subject: ${subject}\r\n`))).toHaveLength(1);
      }
      expect((await account.mailbox('INBOX')).messages).toBe(subjects.length);
    }
  });

  test('does not look at the quota: RCPT did', async () => {
    const account = await TestAccount.create(under(), 10);
    await account.deliver();
    expect(await account.uids()).toEqual([1]);
  });

  test('keeps every byte, also those that mail should not have', async () => {
    const account = await TestAccount.create(under());
    const bytes = Buffer.from(Array.from({ length: 512 }, (_, i) => i & 255));
    const raw = Buffer.concat([Buffer.from(letter()), bytes]);
    const prefix = Buffer.concat([Buffer.from('X-Odd: '), Buffer.from([0x80, 0xff, 0x27, 0x5c]), Buffer.from('\r\n')]);
    await using message = await spooled(raw);
    await under().store.deliver(message, [delivery(account, { prefix })]);
    const [fetched] = await account.fetch({ content: true });
    expect(fetched?.content?.prefix.equals(prefix)).toBe(true);
    expect(fetched?.content && (await bytesOf(fetched.content)).equals(raw)).toBe(true);
  });

  test('a large message comes back as it was', async () => {
    const account = await TestAccount.create(under());
    const line = `${'0123456789abcdef'.repeat(4)}\r\n`;
    const raw = Buffer.from(letter('large', line.repeat(Math.ceil((3 * 1024 * 1024) / line.length))));
    await account.deliver({ raw });
    const [fetched] = await account.fetch({ content: true, size: true });
    const content = fetched?.content;
    expect(fetched?.size).toBe(raw.length);
    expect(content?.rawSize).toBe(raw.length);
    expect(content && (await bytesOf(content)).equals(raw)).toBe(true);
    // Across the borders of whatever pieces there are.
    for (const [start, end] of [
      [0, 10],
      [262_140, 262_150],
      [1_048_570, 1_600_000],
      [raw.length - 5, raw.length],
    ] as const) {
      expect(content && (await bytesOf(content, start, end)).equals(raw.subarray(start, end))).toBe(true);
    }
  });

  test('an empty message is a message', async () => {
    const account = await TestAccount.create(under());
    await account.deliver({ raw: '' });
    expect(await account.bodies()).toEqual(['']);
  });

  test('refuses unknown accounts and mailboxes, and then stores nothing for the others', async () => {
    const account = await TestAccount.create(under());
    const stranger = await TestAccount.create(under());
    await using message = await spooled(letter());
    const bad = [
      [delivery(account, { accountId: unknownAccount }), 'no-such-account'],
      [delivery(account, { mailboxId: unknownMailbox }), 'no-such-mailbox'],
      [delivery(account, { mailboxId: stranger.inboxId }), 'no-such-mailbox'],
    ] as const;
    for (const [wrong, kind] of bad) {
      const refused = under().store.deliver(message, [delivery(account), wrong]);
      expect((await faultOf(refused)).kind).toBe(kind);
    }
    expect(await account.uids()).toEqual([]);
    expect(await stranger.uids()).toEqual([]);
  });

  test('one refused delivery does not harm those that share its transaction', async () => {
    const account = await TestAccount.create(under());
    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, async (_, i) => {
        await using message = await spooled(letter());
        return under().store.deliver(message, [delivery(account, i % 5 === 0 ? { accountId: unknownAccount } : {})]);
      }),
    );
    expect(outcomes.map(({ status }) => status)).toEqual(
      outcomes.map((_, i) => (i % 5 === 0 ? 'rejected' : 'fulfilled')),
    );
    expect(await account.uids()).toHaveLength(16);
  });
}
