import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { MailboxId, ModSeq, Uid } from '#shared/base/ids.ts';
import { flagBits } from '#server/mail/flags.ts';
import { addToPage, changePageFlags, removeFromPage } from '#server/mail/mailbox-page-change.ts';
import { emptyPage, forEachUid, pageNumberOf, type MailboxPage } from '#server/mail/mailbox-page.ts';
import type { MailboxState, OpenedMailbox } from '#server/mail/ports.ts';
import { Presence } from '#server/mail/presence.ts';
import { uidSetOf } from '#server/mail/uid-set.ts';
import { MailboxView } from './mailbox-view.ts';

/** A mailbox that changes as a store would change it. */
class ModelMailbox {
  pages = new Map<number, MailboxPage>();
  flags = new Map<number, number>();
  uidNext = 1;
  modSeq = 1;

  deliver(count: number): void {
    this.modSeq += 1;
    for (let n = 0; n < count; n++) {
      const uid = this.uidNext++;
      const page = this.pages.get(pageNumberOf(uid)) ?? emptyPage(pageNumberOf(uid));
      const addition = { first: uid as Uid, modSeq: this.modSeq, messages: [{ flags: 0, keywordBits: [] }] };
      this.pages.set(page.page, addToPage(page, addition));
      this.flags.set(uid, 0);
    }
  }

  /** UIDs are never given to a message in these gaps. */
  skip(count: number): void {
    this.uidNext += count;
  }

  expunge(uids: readonly number[]): void {
    this.modSeq += 1;
    const set = uidSetOf(uids);
    for (const [number, page] of this.pages) this.pages.set(number, removeFromPage(page, set, this.modSeq));
    for (const uid of uids) this.flags.delete(uid);
  }

  store(uids: readonly number[], flags: number): void {
    this.modSeq += 1;
    const change = { mode: 'replace', flags, keywordBits: [] } as const;
    const set = uidSetOf(uids);
    for (const [number, page] of this.pages) {
      this.pages.set(number, changePageFlags(page, set, change, this.modSeq));
    }
    for (const uid of uids) this.flags.set(uid, flags);
  }

  opened(): Pick<OpenedMailbox, 'mailbox' | 'presence'> {
    const { mailbox, pages } = this.state(0);
    return { mailbox, presence: Presence.of(pages) };
  }

  state(since: number): MailboxState {
    const pages = [...this.pages.values()].sort((a, b) => a.page - b.page);
    return {
      mailbox: {
        id: 1n as MailboxId,
        name: 'INBOX',
        specialUse: null,
        uidValidity: 1,
        uidNext: this.uidNext as Uid,
        highestModSeq: this.modSeq as ModSeq,
        messages: this.flags.size,
        unseen: 0,
        sizeBytes: 0,
        recentFrom: 1 as Uid,
        keywords: [],
      },
      pages: pages.filter((page) => page.maxModSeq > since),
    };
  }

  get uids(): number[] {
    return [...this.flags.keys()].sort((a, b) => a - b);
  }
}

/** What a client keeps, fed only with what a server may send. */
class ModelClient {
  messages: { uid: number; flags: number }[] = [];

  constructor(view: MailboxView, mailbox: ModelMailbox) {
    this.messages = mailbox.uids.map((uid) => ({ uid, flags: mailbox.flags.get(uid) ?? 0 }));
    expect(view.exists).toBe(this.messages.length);
  }

  hear(view: MailboxView, mayExpunge: boolean, uidAfter: (seq: number) => number): void {
    const changes = view.take({ mayExpunge });
    for (const seq of changes.expunged) {
      expect(seq).toBeGreaterThan(0);
      expect(seq).toBeLessThanOrEqual(this.messages.length);
      this.messages.splice(seq - 1, 1);
    }
    if (changes.exists !== null) {
      expect(changes.exists).toBeGreaterThan(this.messages.length);
      while (this.messages.length < changes.exists) {
        this.messages.push({ uid: uidAfter(this.messages.length + 1), flags: -1 });
      }
    }
    for (const { seq, uid, flags } of changes.flags) {
      expect(this.messages[seq - 1]?.uid).toBe(uid);
      (this.messages[seq - 1] as { flags: number }).flags = flags;
    }
  }
}

type Step =
  | { do: 'deliver'; count: number }
  | { do: 'skip'; count: number }
  | { do: 'expunge'; picks: number[] }
  | { do: 'store'; picks: number[]; flags: number }
  | { do: 'read' }
  | { do: 'tell'; mayExpunge: boolean };

const picks = fc.array(fc.nat(), { minLength: 1, maxLength: 8 });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('deliver' as const), count: fc.integer({ min: 1, max: 300 }) }),
  fc.record({ do: fc.constant('skip' as const), count: fc.integer({ min: 1, max: 700 }) }),
  fc.record({ do: fc.constant('expunge' as const), picks }),
  fc.record({ do: fc.constant('store' as const), picks, flags: fc.constantFrom(0, 1, 9, 16) }),
  fc.record({ do: fc.constant('read' as const) }),
  fc.record({ do: fc.constant('tell' as const), mayExpunge: fc.boolean() }),
);

test('a client that applies what it is told has the mailbox, whatever others do in it', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const mailbox = new ModelMailbox();
      mailbox.deliver(3);
      const view = new MailboxView(mailbox.opened(), false);
      const client = new ModelClient(view, mailbox);
      const chosen = (numbers: number[]) => {
        const uids = mailbox.uids;
        return uids.length === 0 ? [] : [...new Set(numbers.map((n) => uids[n % uids.length] as number))];
      };
      const uidAt = (seq: number) => (view.uidsOfSequence([[seq, seq]])?.[0]?.[0] ?? 0) as number;
      for (const next of steps) {
        if (next.do === 'deliver') mailbox.deliver(next.count);
        else if (next.do === 'skip') mailbox.skip(next.count);
        else if (next.do === 'expunge') mailbox.expunge(chosen(next.picks));
        else if (next.do === 'store') mailbox.store(chosen(next.picks), next.flags);
        else if (next.do === 'read') view.update(mailbox.state(view.modSeq));
        else client.hear(view, next.mayExpunge, uidAt);
      }
      view.update(mailbox.state(view.modSeq));
      client.hear(view, true, uidAt);
      expect(client.messages.map((message) => message.uid)).toEqual(mailbox.uids);
      expect(view.exists).toBe(mailbox.flags.size);
      for (const { uid, flags } of client.messages) if (flags >= 0) expect(flags).toBe(mailbox.flags.get(uid));
      client.messages.forEach(({ uid }, index) => expect(view.seqOf(uid)).toBe(index + 1));
    }),
    { numRuns: 150 },
  );
});

describe('sequence sets', () => {
  const mailbox = new ModelMailbox();
  mailbox.deliver(5);
  mailbox.skip(1000);
  mailbox.deliver(2);
  mailbox.expunge([2]);
  const view = new MailboxView(mailbox.opened(), false);

  test.each([
    [[[1, 1]], [[1, 1]]],
    [[[2, 3]], [[3, 4]]],
    [[['*', 1]], [[1, 1007]]],
    [
      [
        [6, 6],
        [1, 2],
      ],
      [
        [1, 3],
        [1007, 1007],
      ],
    ],
    [[[7, 7]], null],
    [[[1, 100]], null],
  ] as const)('sequence numbers %j are UIDs %j', (set, expected) => {
    expect(view.uidsOfSequence(set)).toEqual(expected);
  });

  test.each([
    [[[1, 4]], [[1, 4]]],
    [[['*', '*']], [[1007, 1007]]],
    [[[5000, '*']], [[1007, 1007]]],
    [[[5000, 6000]], []],
    [[[1006, 4294967295]], [[1006, 1007]]],
  ] as const)('UIDs %j are what is known of them: %j', (set, expected) => {
    expect(view.uidsOfUids(set)).toEqual(expected);
  });

  test("'*' is no sequence number of an empty mailbox (RFC 3501 section 9, seq-number)", () => {
    const empty = new MailboxView(new ModelMailbox().opened(), false);
    expect(empty.uidsOfSequence([[1, '*']])).toBe(null);
    expect(empty.uidsOfUids([[1, '*']])).toEqual([]);
  });
});

test('EXPUNGE waits for a moment when numbers may change (RFC 3501 section 7.4.1)', () => {
  const mailbox = new ModelMailbox();
  mailbox.deliver(4);
  const view = new MailboxView(mailbox.opened(), false);
  mailbox.expunge([1, 3]);
  mailbox.deliver(1);
  view.update(mailbox.state(view.modSeq));
  expect(view.take({ mayExpunge: false })).toMatchObject({ expunged: [], exists: 5 });
  expect(view.seqOf(4)).toBe(4);
  expect(view.take({ mayExpunge: true })).toMatchObject({ expunged: [3, 1], exists: null });
  expect(view.seqOf(4)).toBe(2);
});

test('flags told in an answer are not news again, a later change of them is', () => {
  const mailbox = new ModelMailbox();
  mailbox.deliver(3);
  const view = new MailboxView(mailbox.opened(), false);
  mailbox.store([1, 2], flagBits.seen);
  view.markTold(uidSetOf([1, 2]), mailbox.modSeq as ModSeq);
  mailbox.store([2], flagBits.flagged);
  view.update(mailbox.state(view.modSeq));
  expect(view.take({ mayExpunge: true }).flags).toMatchObject([{ seq: 2, flags: flagBits.flagged }]);
});

test('messages are \\Recent for the session that claimed them', () => {
  const mailbox = new ModelMailbox();
  mailbox.deliver(3);
  const view = new MailboxView(mailbox.opened(), false);
  view.addRecent(3);
  expect([view.isRecent(2), view.isRecent(3), view.recentCount]).toEqual([false, true, 1]);
  mailbox.deliver(2);
  mailbox.expunge([3]);
  view.update(mailbox.state(view.modSeq));
  view.addRecent(4);
  expect(view.take({ mayExpunge: true })).toMatchObject({ expunged: [3], exists: 4, recent: 2 });
});

test('100,000 messages: every number leads to its UID and back', () => {
  const mailbox = new ModelMailbox();
  const messages = Array.from({ length: 256 }, () => ({ flags: 0, keywordBits: [] }));
  for (let page = 1; page <= 400; page++) {
    const first = (page * 256) as Uid;
    mailbox.pages.set(page, addToPage(emptyPage(page), { first, modSeq: 2, messages }));
  }
  mailbox.uidNext = 401 * 256;
  const view = new MailboxView(mailbox.opened(), false);
  expect(view.exists).toBe(102_400);
  for (const seq of [1, 256, 257, 51_200, 102_400]) {
    expect(view.uidsOfSequence([[seq, seq]])?.[0]?.[0]).toBe(seq + 255);
    expect(view.seqOf(seq + 255)).toBe(seq);
  }
  const seen: number[] = [];
  for (const page of mailbox.pages.values()) forEachUid(page, (uid) => seen.push(view.seqOf(uid)));
  expect(seen).toEqual(Array.from({ length: 102_400 }, (_, index) => index + 1));
});
