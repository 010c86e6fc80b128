/**
 * Pages that a process has just written, so that the next flag of the same mailbox is changed without reading first.
 * Only a guess: change_messages refuses what was decided on pages that are not the newest.
 */
import type { AccountId, ModSeq } from '#shared/base/ids.ts';
import { pagesOf, type MailboxPage } from '#server/mail/mailbox-page.ts';
import type { Before, MessageChange, Written } from './pg-message-change.ts';

/** Of one account the mailbox written last, with a few pages of up to 6 KB: together some MB. */
const maxAccounts = 200;
const maxPages = 8;

type Recent = { readonly before: Before; readonly pages: ReadonlyMap<number, MailboxPage> };

export class RecentPages {
  readonly #recent = new Map<AccountId, Recent>();

  /** Only for a change that may be done twice. Null: not all of the pages that may hold the messages are known. */
  get(accountId: AccountId, { from, uids, isRepeatable }: MessageChange<unknown>): Before | null {
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

  /** What was written, and so is there now. */
  note(accountId: AccountId, { before, writes }: Written): void {
    const earlier = this.#recent.get(accountId);
    this.#recent.delete(accountId);
    if (writes.rows.kind !== 'flags') return;
    const { source } = before;
    const isNext = earlier?.before.source.id === source.id && earlier.before.modSeq === before.modSeq;
    const pages = new Map(isNext ? earlier.pages : []);
    for (const page of [...before.pages.slice(0, maxPages), ...writes.pages.map((written) => written.page)]) {
      pages.delete(page.page);
      pages.set(page.page, page);
    }
    for (const number of pages.keys()) {
      if (pages.size <= maxPages) break;
      pages.delete(number);
    }
    const after = {
      ...source,
      highestModSeq: before.modSeq,
      keywords: writes.keywords ?? source.keywords,
      unseen: source.unseen + (writes.mailboxes[0]?.unseen ?? 0),
    };
    const modSeq = (before.modSeq + 1) as ModSeq;
    this.#recent.set(accountId, { before: { ...before, modSeq, source: after, target: after, pages: [] }, pages });
    for (const oldest of this.#recent.keys()) {
      if (this.#recent.size <= maxAccounts) break;
      this.#recent.delete(oldest);
    }
  }

  /** The account was changed in another way. */
  forget(accountId: AccountId): void {
    this.#recent.delete(accountId);
  }
}
