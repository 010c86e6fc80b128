import { expect, test } from 'vitest';
import { flagBits } from '#server/mail/flags.ts';
import type { ChangeHint } from '#server/mail/ports.ts';
import type { MailboxId } from '#shared/base/ids.ts';
import { everyUid, TestAccount, type StoreUnderTest } from './store-under-test.ts';

/** Long enough for a slow machine; a hint that never comes fails the test. */
const patienceMs = 10_000;

/** Keeps what an account's listener heard. */
class Ear implements Disposable {
  readonly hints: ChangeHint[] = [];
  readonly #subscription: Disposable;
  #wake: () => void = () => undefined;

  constructor(account: TestAccount) {
    this.#subscription = account.under.feed.subscribe(account.id, (hint) => {
      this.hints.push(hint);
      this.#wake();
    });
  }

  /** Waits until it has heard of the mailbox at its present modseq or later. */
  async hears(account: TestAccount, mailboxId: MailboxId): Promise<void> {
    const state = await account.store.readState(account.id, mailboxId, 0 as never);
    const modSeq = state?.mailbox.highestModSeq ?? 0;
    await this.until((hint) => hint.mailboxIds.includes(mailboxId) && hint.modSeq >= modSeq);
  }

  async until(isIt: (hint: ChangeHint) => boolean): Promise<void> {
    const end = performance.now() + patienceMs;
    while (!this.hints.some(isIt)) {
      const left = end - performance.now();
      if (left <= 0) throw new Error(`heard only ${this.hints.length} hints`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
  }
}

export function feedContract(under: () => StoreUnderTest): void {
  test('tells of every kind of change to messages', async () => {
    const account = await TestAccount.create(under());
    const [inbox, sent] = [account.inboxId, (await account.mailbox('Sent')).id];
    const changes: readonly (readonly [readonly MailboxId[], () => Promise<unknown>])[] = [
      [[inbox], () => account.deliver()],
      [[inbox], () => account.append(3)],
      [[inbox], () => account.change(everyUid, { flags: flagBits.deleted })],
      [[sent], () => account.store.copy(account.id, inbox, everyUid, sent)],
      [[inbox], () => account.store.expunge(account.id, inbox, null)],
      [[inbox, sent], () => account.store.move(account.id, sent, everyUid, inbox)],
    ];
    for (const [mailboxes, change] of changes) {
      using ear = new Ear(account);
      await change();
      for (const mailbox of mailboxes) await ear.hears(account, mailbox);
      expect(ear.hints.every(({ accountId }) => accountId === account.id)).toBe(true);
    }
  });

  test('tells of mailboxes that come, go and are renamed', async () => {
    const account = await TestAccount.create(under());
    using ear = new Ear(account);
    const made = await account.create('Work');
    await ear.until(({ mailboxIds }) => mailboxIds.includes(made.id));
    ear.hints.length = 0;
    await account.store.renameMailbox(account.id, made.id, 'Play');
    await ear.until(({ mailboxIds }) => mailboxIds.includes(made.id));
    ear.hints.length = 0;
    await account.store.deleteMailbox(account.id, made.id);
    await ear.until(({ mailboxIds }) => mailboxIds.includes(made.id));
  });

  test('every listener of an account hears, and those of other accounts do not', async () => {
    const [account, other] = [await TestAccount.create(under()), await TestAccount.create(under())];
    using first = new Ear(account);
    using second = new Ear(account);
    using stranger = new Ear(other);
    await account.deliver();
    await first.hears(account, account.inboxId);
    await second.hears(account, account.inboxId);
    await other.deliver();
    await stranger.hears(other, other.inboxId);
    expect(stranger.hints.every(({ accountId }) => accountId === other.id)).toBe(true);
    expect(stranger.hints.flatMap(({ mailboxIds }) => mailboxIds)).not.toContain(account.inboxId);
  });

  test('one who has left hears nothing more', async () => {
    const account = await TestAccount.create(under());
    const gone = new Ear(account);
    using stays = new Ear(account);
    gone[Symbol.dispose]();
    gone[Symbol.dispose]();
    await account.deliver();
    await stays.hears(account, account.inboxId);
    expect(gone.hints).toEqual([]);
  });
}
