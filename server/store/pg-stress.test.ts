/** Everything that a store can do, at once, by two of them, to a few accounts: nothing may be out of place after it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { MailboxId, ModSeq } from '#shared/base/ids.ts';
import { flagBits, type FlagChange } from '#server/mail/flags.ts';
import { MailError, type MailFault } from '#server/mail/mail-error.ts';
import type { MailboxPage } from '#server/mail/mailbox-page.ts';
import type { Mailbox } from '#server/mail/mailbox.ts';
import type { MailStore } from '#server/mail/ports.ts';
import { uidSet, type UidSet } from '#server/mail/uid-set.ts';
import { openPgStore, type PgStoreUnderTest } from '../../test/contracts/pg-store.ts';
import { bytesOf, everyUid, letter, noModSeq, TestAccount } from '../../test/contracts/store-under-test.ts';
import { spooled } from '../../test/harness/message.ts';
import { brokenInvariants } from '../../test/harness/store-invariants.ts';
import { Janitor } from './pg-janitor.ts';

const workers = 8;
const stepsAWorker = 120;

/** What a step may be refused with; anything else is a fault of the store. */
const expected: ReadonlySet<MailFault['kind']> = new Set([
  'no-such-mailbox',
  'mailbox-exists',
  'mailbox-has-children',
  'not-permitted',
  'over-quota',
  'no-such-account',
]);

let first: PgStoreUnderTest;
let second: PgStoreUnderTest;
beforeAll(async () => {
  first = await openPgStore();
  second = await openPgStore({ url: first.url });
});
afterAll(async () => {
  await second[Symbol.asyncDispose]();
  await first[Symbol.asyncDispose]();
});

/** Few of them, so that blobs are shared, given up and taken again. One is kept in pieces. */
const raws = [letter('a'), letter('b'), letter('c'), letter('large', `${'x'.repeat(998)}\r\n`.repeat(1200))];
const names = ['A', 'A/B', 'A/B/C', 'D', 'D/E', 'INBOX/F', 'G'];
const keywords = ['one', 'Two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine'];

/** mulberry32: the same seed does the same steps, though not at the same moments. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4_294_967_296) * below);
  };
}

class Worker {
  readonly #store: MailStore;
  readonly #accounts: readonly TestAccount[];
  readonly #random: (below: number) => number;
  done = 0;

  constructor(store: MailStore, accounts: readonly TestAccount[], seed: number) {
    this.#store = store;
    this.#accounts = accounts;
    this.#random = randomOf(seed);
  }

  async run(steps: number): Promise<void> {
    for (let step = 0; step < steps; step++) {
      try {
        await this.#step();
        this.done++;
      } catch (error) {
        if (!(error instanceof MailError) || !expected.has(error.fault.kind)) throw error;
      }
    }
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#random(from.length)] as T;
  }

  #some<T>(from: readonly T[]): readonly T[] {
    return from.filter(() => this.#random(4) === 0);
  }

  #uids({ uidNext }: Mailbox): UidSet {
    if (this.#random(5) === 0) return everyUid;
    const ranges = Array.from({ length: 1 + this.#random(4) }, (): [number, number] => {
      const start = 1 + this.#random(uidNext + 1);
      return [start, start + this.#random(6)];
    });
    return uidSet(ranges);
  }

  async #step(): Promise<void> {
    const account = this.#pick(this.#accounts);
    const mailboxes = await this.#store.listMailboxes(account.id);
    const [from, to] = [this.#pick(mailboxes), this.#pick(mailboxes)];
    const flags = this.#pick([0, flagBits.seen, flagBits.deleted, flagBits.flagged | flagBits.seen]);
    const uids = this.#uids(from);
    const change: FlagChange = {
      mode: this.#pick(['add', 'remove', 'replace']),
      flags,
      keywords: this.#some(keywords),
    };
    const steps: readonly (readonly [weight: number, step: () => Promise<unknown>])[] = [
      [8, () => this.#deliver(from.id, flags)],
      [6, () => this.#append(account, from.id, flags)],
      [4, () => this.#store.copy(account.id, from.id, uids, to.id)],
      [6, () => this.#store.move(account.id, from.id, uids, to.id)],
      [8, () => this.#store.storeFlags(account.id, from.id, uids, change)],
      [5, () => this.#store.expunge(account.id, from.id, this.#random(2) === 0 ? null : uids)],
      [2, () => this.#store.createMailbox(account.id, this.#pick(names), null)],
      [2, () => this.#store.renameMailbox(account.id, from.id, this.#pick(names))],
      [2, () => this.#store.deleteMailbox(account.id, from.id)],
      [2, () => this.#store.claimRecent(account.id, from.id, from.uidNext)],
      [3, () => this.#read(account, from.id)],
    ];
    let at = this.#random(steps.reduce((sum, [weight]) => sum + weight, 0));
    for (const [weight, step] of steps) {
      at -= weight;
      if (at < 0) return void (await step());
    }
  }

  async #deliver(mailboxId: MailboxId, flags: number): Promise<void> {
    await using message = await spooled(this.#pick(raws));
    const some = this.#accounts.filter(() => this.#random(2) === 0);
    const isToOne = this.#random(3) === 0;
    const to = some.map(({ id }, i) => ({
      accountId: id,
      mailboxId: isToOne && i === 0 ? mailboxId : null,
      prefix: Buffer.from('X-To: somebody\r\n'.repeat(this.#random(3))),
      flags,
      keywords: this.#some(keywords),
    }));
    await this.#store.deliver(message, to);
  }

  async #append({ id }: TestAccount, mailboxId: MailboxId, flags: number): Promise<void> {
    await using message = await spooled(this.#pick(raws));
    const count = this.#random(10) === 0 ? 300 : 1 + this.#random(3);
    // The large one is not to fill the disk.
    const item = { message, flags, keywords: this.#some(keywords), internalDate: null };
    await this.#store.append(
      id,
      mailboxId,
      message.size > 1_000_000 ? [item] : Array.from({ length: count }, () => item),
    );
  }

  async #read({ id }: TestAccount, mailboxId: MailboxId): Promise<void> {
    for await (const batch of this.#store.fetch(id, mailboxId, everyUid, { flags: true, size: true, content: true })) {
      const { content, size } = this.#pick(batch);
      if (!content) throw new Error('no content');
      const bytes = await bytesOf(content).catch((error: unknown) => {
        // Removed and swept while we read.
        if (error instanceof MailError && error.fault.kind === 'unavailable') return null;
        throw error;
      });
      if (bytes === null) continue;
      expect(content.prefix.length + bytes.length).toBe(size);
      expect(raws.includes(bytes.toString('latin1'))).toBe(true);
    }
  }
}

/** A session that reads no more than what changed, and must be where one is that reads everything. */
async function watch(account: TestAccount, stop: AbortSignal): Promise<number> {
  const known = new Map<number, MailboxPage>();
  let since = noModSeq;
  let compared = 0;
  for (let isLast = false; !isLast;) {
    isLast = stop.aborted;
    const news = await account.state(account.inboxId, since);
    const all = await account.state();
    expect(news.mailbox.highestModSeq).toBeGreaterThanOrEqual(since);
    since = news.mailbox.highestModSeq;
    for (const page of news.pages) known.set(page.page, page);
    if (all.mailbox.highestModSeq !== since) continue;
    expect([...known.values()].sort((a, b) => a.page - b.page)).toEqual(all.pages);
    compared++;
  }
  return compared;
}

test('two stores, a few accounts, every kind of change at once', { timeout: 180_000 }, async () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const accounts = [
    await TestAccount.create(first),
    await TestAccount.create(second),
    await TestAccount.create(first, 3_000_000),
  ];
  const heard = [first, second].map(({ feed }) => {
    const modSeqs = new Map<bigint, number>();
    for (const { id } of accounts) {
      feed.subscribe(id, ({ modSeq }) => modSeqs.set(id, Math.max(modSeq, modSeqs.get(id) ?? 0)));
    }
    return modSeqs;
  });
  const stop = new AbortController();
  const background = [
    ...accounts.map((account) => watch(account, stop.signal)),
    sweepWithoutPause(stop.signal),
    checkNowAndThen(stop.signal),
  ];
  const all = Array.from(
    { length: workers },
    (_, i) => new Worker((i % 2 === 0 ? first : second).store, accounts, seed + i),
  );
  try {
    await Promise.all(all.map((worker) => worker.run(stepsAWorker)));
  } catch (error) {
    throw new Error(`with the seed ${seed}`, { cause: error });
  } finally {
    stop.abort();
    const counts = await Promise.all(background);
    expect(Math.min(...counts)).toBeGreaterThan(0);
  }
  expect(await brokenInvariants(first.url), `with the seed ${seed}`).toEqual([]);
  // Most steps must have done something.
  expect(all.reduce((sum, { done }) => sum + done, 0)).toBeGreaterThan(workers * stepsAWorker * 0.6);

  const { rows } = await first.database.connect('test').then(async (client) => {
    const answer = await client.query<{ account_id: bigint; modseq: bigint }>(
      'select account_id, modseq from account_state',
    );
    await client.end();
    return answer;
  });
  const last = new Map(rows.map((row) => [row.account_id, Number(row.modseq) as ModSeq]));
  for (const modSeqs of heard) await expect.poll(() => modSeqs, { timeout: 5000 }).toEqual(last);
});

test('an account that is deleted in the middle of it is gone whole', { timeout: 60_000 }, async () => {
  for (let round = 0; round < 5; round++) {
    const accounts = [await TestAccount.create(first), await TestAccount.create(first)];
    const all = [first, second, first, second].map(({ store }, i) => new Worker(store, accounts, round * 10 + i));
    const working = Promise.all(all.map((worker) => worker.run(30)));
    await sleep(100 + round * 50);
    const doomed = accounts[0] as TestAccount;
    await first.database.db.deleteFrom('account').where('id', '=', doomed.id).execute();
    expect(await brokenInvariants(first.url)).toEqual([]);
    await working;
    expect(await brokenInvariants(first.url)).toEqual([]);
  }
});

async function sweepWithoutPause(stop: AbortSignal): Promise<number> {
  // A second of grace: longer than between an upload and its batch.
  await using janitor = new Janitor({ database: first.database, graceSeconds: 1, logSeconds: 3600 });
  let sweeps = 0;
  for (; !stop.aborted; sweeps++) {
    await janitor.sweepOnce();
    await sleep(20);
  }
  return sweeps;
}

async function checkNowAndThen(stop: AbortSignal): Promise<number> {
  let checks = 0;
  do {
    expect(await brokenInvariants(first.url)).toEqual([]);
    checks++;
    await sleep(500);
  } while (!stop.aborted);
  return checks;
}
