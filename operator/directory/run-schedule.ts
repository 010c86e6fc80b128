/**
 * When what is compared. A few Mailboxes that changed are compared by themselves, at once; everything when there is a
 * reason to, and when it has been quiet for a moment after such parts, or they have gone on for long.
 */
import type { Clock } from '#shared/base/clock.ts';

export type Cause = 'start' | 'change' | 'notify' | 'sweep' | 'retry' | 'confirm';

export type Run =
  | { readonly kind: 'whole'; readonly cause: Cause }
  /** UIDs of Mailboxes. */
  | { readonly kind: 'part'; readonly uids: ReadonlySet<string> };

/** Mailboxes of one part beside those that are looked at again: more would keep the first of them waiting. */
const mostAPart = 500;
/** After a part everything is compared when nothing has changed for so long, in ms… */
const quietMs = 1_500;
/** … and at the latest after so long; longer where comparing everything would be most of the work. */
const longestUnconfirmedMs = 30_000;
const comparisons = 40;

export class RunSchedule {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  #whole: Cause | null = 'start';
  /** Mailboxes that changed. */
  readonly #touched = new Set<string>();
  /** Those that something was done for. */
  readonly #done = new Set<string>();
  /** Nobody knows what was done: parts have to wait. */
  #isInDoubt = false;
  #wholeAt = Infinity;
  /** Of the first part that no comparison of everything has followed. */
  #unconfirmedSince: number | null = null;
  #changedAt = -Infinity;
  #wholeMs = 0;

  constructor(clock: Pick<Clock, 'monotonicMs'>) {
    this.#clock = clock;
  }

  /** Everything, as soon as possible. */
  want(cause: Cause): void {
    this.#whole ??= cause;
  }

  /** A Mailbox, or its Secret, is another. */
  touch(uid: string): void {
    this.#changedAt = this.#clock.monotonicMs();
    this.#touched.add(uid);
    if (this.#isInDoubt) this.want('change');
  }

  /** How long nothing needs to be done, in ms; Infinity: until something changes. */
  restMs(): number {
    if (this.#whole !== null || this.#touched.size > 0 || this.#done.size > 0) return 0;
    return Math.max(0, Math.min(this.#wholeAt, this.#confirmAt()) - this.#clock.monotonicMs());
  }

  /** What to do now. Everything has what was touched, too. */
  next(): Run {
    const now = this.#clock.monotonicMs();
    const isOverdue = now >= Math.min(this.#wholeAt, this.#latestConfirmAt());
    if (this.#whole === null && !isOverdue && this.#touched.size + this.#done.size > 0) return this.#nextPart(now);
    const sweep = now >= this.#wholeAt ? 'sweep' : 'confirm';
    const cause = this.#whole ?? sweep;
    this.#whole = null;
    this.#touched.clear();
    this.#done.clear();
    this.#wholeAt = Infinity;
    this.#unconfirmedSince = null;
    this.#isInDoubt = false;
    return { kind: 'whole', cause };
  }

  #nextPart(now: number): Run {
    const uids = new Set(this.#done);
    this.#done.clear();
    for (const uid of this.#touched) {
      if (uids.size >= mostAPart && !uids.has(uid)) continue;
      uids.add(uid);
      this.#touched.delete(uid);
    }
    this.#unconfirmedSince ??= now;
    return { kind: 'part', uids };
  }

  /** Everything was compared, which took `tookMs`. */
  compared(tookMs: number): void {
    this.#wholeMs = tookMs;
  }

  /** Of these something was done, and is to be read; of `left` there was no time to. */
  follow({ done, left }: { readonly done: Iterable<string>; readonly left: Iterable<string> }): void {
    const now = this.#clock.monotonicMs();
    for (const uid of done) this.#done.add(uid);
    for (const uid of left) this.#touched.add(uid);
    this.#changedAt = now;
    this.#unconfirmedSince ??= now;
  }

  /** Everything, after so long at the latest though nothing changes. */
  sweepIn(ms: number): void {
    this.#wholeAt = Math.min(this.#wholeAt, this.#clock.monotonicMs() + ms);
  }

  /** What was to be done may be done or not: nothing but everything is compared next. */
  failed(retryMs: number): void {
    this.#isInDoubt = true;
    this.#touched.clear();
    this.#done.clear();
    this.sweepIn(retryMs);
  }

  #confirmAt(): number {
    if (this.#unconfirmedSince === null) return Infinity;
    return Math.min(this.#changedAt + quietMs, this.#latestConfirmAt());
  }

  #latestConfirmAt(): number {
    if (this.#unconfirmedSince === null) return Infinity;
    return this.#unconfirmedSince + Math.max(longestUnconfirmedMs, comparisons * this.#wholeMs);
  }
}
