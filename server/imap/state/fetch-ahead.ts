/**
 * What a client will ask for next that fetches one message after the other: from the second in a row on, those that
 * follow come with it, ever more of them, so that the store is not asked once a command. Only of what never changes in a
 * message: its flags are not read ahead. What was read is dropped when the mailbox changes, or nobody asks for a while.
 */
import type { Uid } from '#shared/base/ids.ts';
import type { FetchedMessage, FetchWants, MailStore } from '#server/mail/ports.ts';
import type { UidSet } from '#server/mail/uid-set.ts';
import type { MailboxView } from './mailbox-view.ts';
import type { SessionAccount } from './session-state.ts';

/** Messages read at first, by what their number grows, and at most. */
const [firstCount, growth, mostCount] = [8, 4, 128];
/** What a session holds that asks for nothing more is given up after so long, in ms. */
const keptMs = 2_000;
/** Sessions of the process that hold messages: each has up to a MiB or two of them. */
const maxHolders = 200;

type Place = { readonly account: SessionAccount; readonly view: MailboxView };

type Window = {
  readonly messages: ReadonlyMap<number, FetchedMessage>;
  readonly count: number;
  /** Sequence number after the last that was asked for. */
  readonly endsAt: number;
};

let holders = 0;

export class FetchAhead implements Disposable {
  readonly #store: MailStore;
  #view: MailboxView | null = null;
  #wants = '';
  #lastUid = 0;
  #window: Window | null = null;
  /** What comes after the window. */
  #next: Promise<Window | null> | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(store: MailStore) {
    this.#store = store;
  }

  /** The message, where it was read ahead or is read now with those that follow; null: it has to be fetched by itself. */
  async take({ account, view }: Place, uids: UidSet, wants: FetchWants): Promise<FetchedMessage | null> {
    const uid = uids[0]?.[0] ?? 0;
    const key = Object.keys(wants).join();
    const isNext = this.#view === view && this.#wants === key && this.#follows(view, uid);
    if (!isNext) this.drop();
    if (uids.length !== 1 || uids[0]?.[1] !== uid || wants.flags === true || wants.content !== true) return null;
    this.#view = view;
    this.#wants = key;
    this.#lastUid = uid;
    if (!isNext || !this.#hold()) return null;
    const seq = view.seqOf(uid);
    const window = await this.#windowWith({ account, view }, seq, wants);
    // Null too where somebody changed the mailbox meanwhile.
    if (window === null || this.#view !== view) return null;
    this.#window = window;
    if (this.#next === null && seq + window.count / 2 >= window.endsAt && window.endsAt <= view.exists) {
      const count = Math.min(window.count * growth, mostCount);
      this.#next = this.#read({ account, view }, window.endsAt, count, wants);
    }
    return window.messages.get(uid) ?? null;
  }

  /** The window that holds the message, or the one after it. */
  async #windowWith(place: Place, seq: number, wants: FetchWants): Promise<Window | null> {
    const window = this.#window;
    if (window?.messages.has(this.#lastUid) === true) return window;
    const next = this.#next ?? this.#read(place, seq, window?.count ?? firstCount, wants);
    this.#next = null;
    return next;
  }

  /** What was read may not be there any more, or is not wanted. */
  drop(): void {
    if (this.#timer !== null) {
      clearTimeout(this.#timer);
      this.#timer = null;
      holders -= 1;
    }
    this.#view = null;
    this.#window = null;
    this.#next = null;
  }

  [Symbol.dispose](): void {
    this.drop();
  }

  #follows(view: MailboxView, uid: Uid | 0): boolean {
    const seq = view.seqOf(uid);
    return seq > 1 && view.seqOf(this.#lastUid) === seq - 1;
  }

  /** False: too many sessions do. */
  #hold(): boolean {
    if (this.#timer !== null) {
      this.#timer.refresh();
      return true;
    }
    if (holders >= maxHolders) return false;
    holders += 1;
    this.#timer = setTimeout(() => this.drop(), keptMs).unref();
    return true;
  }

  /** Null: it could not be read; whoever fetches the message by itself hears why. */
  async #read({ account, view }: Place, seq: number, count: number, wants: FetchWants): Promise<Window | null> {
    const last = Math.min(seq + count - 1, view.exists);
    const uids = view.uidsOfSequence([[seq, last]]) ?? [];
    try {
      // One batch: the store bounds it.
      for await (const batch of this.#store.fetch(account.accountId, view.mailboxId, uids, wants)) {
        return { messages: new Map(batch.map((message) => [message.uid, message])), count, endsAt: last + 1 };
      }
    } catch {
      // As above.
    }
    return null;
  }
}
