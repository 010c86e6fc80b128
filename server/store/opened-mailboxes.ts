/** The mailboxes that a process has opened last, as they were then: whether they still are so, the database says. */
import type { AccountId } from '#shared/base/ids.ts';
import type { OpenedMailbox } from '#server/mail/ports.ts';

/** A mailbox of a million messages takes some 160 KB. */
const maxBytes = 8_000_000;
/** What each has beside its presence, roughly. */
const bytesBeside = 1_000;

type Place = {
  readonly known: OpenedMailbox | null;
  /** Whether the same server may still be asked for the rest. */
  readonly isCurrent: () => boolean;
  /** As it was found after this place was asked for; null: there is none. */
  readonly keep: (opened: OpenedMailbox | null) => void;
};

export class OpenedMailboxes {
  readonly #opened = new Map<string, OpenedMailbox>();
  readonly #generation: () => number;
  #readIn: number;
  #bytes = 0;

  /** `generation`: of the database's connections. Whoever answers the next may never have had what these have read. */
  constructor(generation: () => number) {
    this.#generation = generation;
    this.#readIn = generation();
  }

  placeOf(accountId: AccountId, name: string): Place {
    const key = `${accountId} ${name}`;
    this.#dropLost();
    const asked = this.#readIn;
    return {
      known: this.#opened.get(key) ?? null,
      isCurrent: () => asked === this.#generation(),
      keep: (opened) => {
        this.#dropLost();
        this.#remove(key);
        if (opened !== null && asked === this.#readIn) this.#add(key, opened);
      },
    };
  }

  #add(key: string, opened: OpenedMailbox): void {
    this.#opened.set(key, opened);
    this.#bytes += bytesOf(opened);
    for (const oldest of this.#opened.keys()) {
      if (this.#bytes <= maxBytes) break;
      this.#remove(oldest);
    }
  }

  #remove(key: string): void {
    const opened = this.#opened.get(key);
    if (opened === undefined) return;
    this.#bytes -= bytesOf(opened);
    this.#opened.delete(key);
  }

  #dropLost(): void {
    const generation = this.#generation();
    if (generation === this.#readIn) return;
    this.#readIn = generation;
    this.#opened.clear();
    this.#bytes = 0;
  }
}

function bytesOf({ mailbox, presence }: OpenedMailbox): number {
  return mailbox.keywords.reduce((sum, { length }) => sum + length, presence.bytes + bytesBeside);
}
