/**
 * Pages that a process has just written, so that the next flag of the same mailbox is changed without reading first, and
 * other sessions hear of those before it without reading at all. For a change it is only a guess: change_flags refuses
 * what was decided on pages that are not the newest.
 */
import type { AccountId, MailboxId, ModSeq } from '#shared/base/ids.ts';
import { pagesOf, type MailboxPage } from '#server/mail/mailbox-page.ts';
import type { MailboxState } from '#server/mail/ports.ts';
import type { Before, MessageChange, Written } from './pg-message-change.ts';

/** Of one account the mailbox written last. */
const maxAccounts = 200;
/** Of one mailbox: of 100,000 messages. */
const maxPages = 400;
/** Of 2 KB, or where there are many keywords 6 KB: some MB. */
const maxPagesInAll = 1600;

type Recent = {
  readonly before: Before;
  readonly pages: ReadonlyMap<number, MailboxPage>;
  /** Every page that changed after this is among them. */
  readonly since: number;
};

export class RecentPages {
  readonly #recent = new Map<AccountId, Recent>();
  readonly #generation: () => number;
  #pagesInAll = 0;
  /** Of the connections by which all that is remembered was written. */
  #writtenIn: number;

  /** `generation`: of the database's connections. Whoever answers the next may never have had what was committed before. */
  constructor(generation: () => number) {
    this.#generation = generation;
    this.#writtenIn = generation();
  }

  /** Only for a change that may be done twice. Null: not all of the pages that may hold the messages are known. */
  get(accountId: AccountId, { from, uids, isRepeatable }: MessageChange<unknown>): Before | null {
    this.#dropLost();
    const recent = this.#recent.get(accountId);
    if (!isRepeatable || recent?.before.source.id !== from) return null;
    const pages: MailboxPage[] = [];
    for (const [first, last] of pagesOf(uids)) {
      if (last - first >= maxPages) return null;
      for (let number = first; number <= last; number++) {
        const page = recent.pages.get(number);
        if (!page) return null;
        pages.push(page);
      }
    }
    return { ...recent.before, pages };
  }

  /** A state of the mailbox at the moment `enough` or later, with the pages changed after `since`; null: it is not known. */
  stateOf(accountId: AccountId, mailboxId: MailboxId, since: ModSeq, enough: ModSeq): MailboxState | null {
    this.#dropLost();
    const recent = this.#recent.get(accountId);
    if (recent === undefined || recent.before.source.id !== mailboxId) return null;
    const { source } = recent.before;
    if (since < recent.since || source.highestModSeq < enough) return null;
    const pages = [...recent.pages.values()].filter(({ maxModSeq }) => maxModSeq > since);
    return { mailbox: source, pages: pages.sort((a, b) => a.page - b.page) };
  }

  /** What was written, and so is there now. */
  note(accountId: AccountId, { before, writes }: Written): void {
    this.#dropLost();
    const earlier = this.#recent.get(accountId);
    this.forget(accountId);
    if (writes.rows.kind !== 'flags') return;
    const { source } = before;
    const isNext = earlier?.before.source.id === source.id && earlier.before.modSeq === before.modSeq;
    const pages = new Map(isNext ? earlier.pages : []);
    let since: number = isNext ? earlier.since : source.highestModSeq;
    for (const page of [...before.pages, ...writes.pages.map((written) => written.page)]) {
      pages.delete(page.page);
      pages.set(page.page, page);
    }
    for (const [number, { maxModSeq }] of pages) {
      if (pages.size <= maxPages) break;
      since = Math.max(since, maxModSeq);
      pages.delete(number);
    }
    const after = {
      ...source,
      highestModSeq: before.modSeq,
      keywords: writes.keywords ?? source.keywords,
      unseen: source.unseen + (writes.mailboxes[0]?.unseen ?? 0),
    };
    const modSeq = (before.modSeq + 1) as ModSeq;
    this.#recent.set(accountId, {
      before: { ...before, modSeq, source: after, target: after, pages: [] },
      pages,
      since,
    });
    this.#pagesInAll += pages.size;
    for (const oldest of this.#recent.keys()) {
      if (this.#recent.size <= maxAccounts && this.#pagesInAll <= maxPagesInAll) break;
      this.forget(oldest);
    }
  }

  /** The account was changed in another way. */
  forget(accountId: AccountId): void {
    this.#pagesInAll -= this.#recent.get(accountId)?.pages.size ?? 0;
    this.#recent.delete(accountId);
  }

  #dropLost(): void {
    const generation = this.#generation();
    if (generation === this.#writtenIn) return;
    this.#writtenIn = generation;
    this.#recent.clear();
    this.#pagesInAll = 0;
  }
}
