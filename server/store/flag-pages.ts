/** Pages that a process has read last, as of a moment. */
import type { MailboxPage } from '#server/mail/mailbox-page.ts';
import { Remembered } from './remembered.ts';

export type PageRanges = readonly (readonly [first: number, last: number])[];

export type HeldPages = {
  /** Every change up to this modseq is in them. */
  readonly asOf: number;
  /** Where pages would be, if they had messages; ascending. */
  readonly within: PageRanges;
  /** By number: all that have messages. */
  readonly pages: ReadonlyMap<number, MailboxPage>;
};

/** By account and mailbox. */
export type FlagPages = Remembered<HeldPages>;

/** Of a million messages. */
const maxBytes = 8_000_000;
/** What a page takes beside its columns. */
const bytesBeside = 500;

export function rememberFlagPages(generation: () => number): FlagPages {
  return new Remembered({ generation, maxBytes, bytesOf: bytesOfHeld });
}

function bytesOfHeld({ within, pages }: HeldPages): number {
  let bytes = bytesBeside * (1 + within.length);
  for (const page of pages.values()) bytes += bytesBeside + bytesOf(page);
  return bytes;
}

function bytesOf({ present, flags, modSeqs, keywords }: MailboxPage): number {
  return present.length + flags.length + modSeqs.length + (keywords?.length ?? 0);
}

/** With columns of its own: those that were read are pieces of a larger memory. */
export function ownPage(page: MailboxPage): MailboxPage {
  const memory = new Uint8Array(bytesOf(page));
  let end = 0;
  const own = (column: Uint8Array): Uint8Array => {
    memory.set(column, end);
    end += column.length;
    return memory.subarray(end - column.length, end);
  };
  return {
    ...page,
    present: own(page.present),
    flags: own(page.flags),
    modSeqs: own(page.modSeqs),
    keywords: page.keywords && own(page.keywords),
  };
}
