/** Pages that a process has read last, as of a moment: whether they changed since, the database says. */
import type { AccountId, MailboxId } from '#shared/base/ids.ts';
import type { MailboxPage } from '#server/mail/mailbox-page.ts';

export type PageRanges = readonly (readonly [first: number, last: number])[];

export type HeldPages = {
  /** Every change up to this modseq is in them. */
  readonly asOf: number;
  /** Where pages would be, if they had messages; ascending. */
  readonly within: PageRanges;
  /** By number: all that have messages. */
  readonly pages: ReadonlyMap<number, MailboxPage>;
};

/** Of a million messages. */
const maxBytes = 8_000_000;
/** What a page takes beside its columns. */
const bytesBeside = 500;

type Place = {
  readonly held: HeldPages | null;
  /** Whether the same server may still be asked for the rest. */
  readonly isCurrent: () => boolean;
  /** Instead of what was held. The pages' columns are copied. */
  readonly keep: (held: HeldPages | null) => void;
};

export class FlagPages {
  readonly #held = new Map<string, HeldPages & { readonly bytes: number }>();
  readonly #generation: () => number;
  #readIn: number;
  #bytes = 0;

  /** `generation`: of the database's connections. Whoever answers the next may never have had what these have read. */
  constructor(generation: () => number) {
    this.#generation = generation;
    this.#readIn = generation();
  }

  of({ accountId, mailboxId }: { readonly accountId: AccountId; readonly mailboxId: MailboxId }): Place {
    const key = `${accountId} ${mailboxId}`;
    this.#dropLost();
    const asked = this.#readIn;
    return {
      held: this.#held.get(key) ?? null,
      isCurrent: () => asked === this.#generation(),
      keep: (held) => {
        this.#dropLost();
        this.#remove(key);
        if (held !== null && asked === this.#readIn) this.#add(key, held);
      },
    };
  }

  #add(key: string, held: HeldPages): void {
    let bytes = bytesBeside * (1 + held.within.length);
    for (const page of held.pages.values()) bytes += bytesBeside + bytesOf(page);
    if (bytes > maxBytes) return;
    this.#held.set(key, { ...held, bytes });
    this.#bytes += bytes;
    for (const oldest of this.#held.keys()) {
      if (this.#bytes <= maxBytes) break;
      this.#remove(oldest);
    }
  }

  #remove(key: string): void {
    this.#bytes -= this.#held.get(key)?.bytes ?? 0;
    this.#held.delete(key);
  }

  #dropLost(): void {
    const generation = this.#generation();
    if (generation === this.#readIn) return;
    this.#readIn = generation;
    this.#held.clear();
    this.#bytes = 0;
  }
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
