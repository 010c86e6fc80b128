/**
 * Keys that wait for work. A key is there once however often it is added; while a worker has it, it is with nobody
 * else, and what is added then comes back when the worker is done. Knows nothing of what the work is.
 */
import type { Clock } from '#shared/base/clock.ts';
import type { KubeMetrics } from '#shared/observe/kube-metrics.ts';
import { backoffMs } from './backoff.ts';

/** `high` goes before `normal`, `low` (a sweep over everything) waits for both. */
export type Priority = 'high' | 'normal' | 'low';

const order: readonly Priority[] = ['high', 'normal', 'low'];
const firstRetryMs = 500;
const longestRetryMs = 300_000;
/** The longest that a timer takes; a key that is due later comes then, and is enqueued again. */
const longestTimerMs = 2 ** 31 - 1;

export type WorkQueueOptions = {
  readonly name: string;
  readonly metrics: KubeMetrics;
  readonly clock: Clock;
  /** In [0, 1); for jitter. */
  readonly random?: () => number;
};

type Later = { readonly due: number; readonly priority: Priority; readonly timer: NodeJS.Timeout };

export class WorkQueue {
  readonly #label: { readonly name: string };
  readonly #metrics: KubeMetrics;
  readonly #clock: Clock;
  readonly #random: () => number;
  /** Keys that a worker may take, with the time they came. */
  readonly #waiting: Readonly<Record<Priority, Map<string, number>>> = {
    high: new Map(),
    normal: new Map(),
    low: new Map(),
  };
  /** Keys that workers have, with the time they took them. */
  readonly #taken = new Map<string, number>();
  /** Keys that were added while a worker had them. */
  readonly #again = new Map<string, Priority>();
  readonly #later = new Map<string, Later>();
  readonly #failures = new Map<string, number>();
  readonly #takers: ((key: string | null) => void)[] = [];
  #isClosed = false;

  constructor(options: WorkQueueOptions) {
    this.#label = { name: options.name };
    this.#metrics = options.metrics;
    this.#clock = options.clock;
    this.#random = options.random ?? Math.random;
    this.#metrics.queueDepth.set(this.#label, 0);
  }

  /** Keys that wait, without those that are due later. */
  get depth(): number {
    return this.#waiting.high.size + this.#waiting.normal.size + this.#waiting.low.size;
  }

  /** A key that waits already takes the higher of the two priorities. */
  add(key: string, priority: Priority = 'normal'): void {
    if (this.#isClosed) return;
    if (this.#taken.has(key)) {
      const before = this.#again.get(key);
      if (before === undefined) this.#metrics.queueAdds.inc(this.#label);
      this.#again.set(key, before === undefined ? priority : higher(before, priority));
      return;
    }
    const before = order.find((each) => this.#waiting[each].has(key));
    if (before !== undefined && higher(before, priority) === before) return;
    const since = before === undefined ? this.#clock.monotonicMs() : (this.#waiting[before].get(key) ?? 0);
    if (before === undefined) this.#metrics.queueAdds.inc(this.#label);
    else this.#waiting[before].delete(key);
    this.#put(key, priority, since);
  }

  /** Adds it after so long; the earlier of two such wishes counts. */
  addAfter(key: string, ms: number, priority: Priority = 'normal'): void {
    if (this.#isClosed) return;
    if (ms <= 0) {
      this.add(key, priority);
      return;
    }
    const due = this.#clock.monotonicMs() + ms;
    const before = this.#later.get(key);
    if (before && before.due <= due) return;
    clearTimeout(before?.timer);
    const timer = setTimeout(
      () => {
        this.#later.delete(key);
        this.add(key, priority);
      },
      Math.min(ms, longestTimerMs),
    );
    this.#later.set(key, { due, priority, timer });
  }

  /** Adds it after a wait that doubles with each failure: 0.5 s to 5 minutes. Gives the wait in milliseconds. */
  addFailed(key: string, priority: Priority = 'normal'): number {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    const waitMs = backoffMs(failures, firstRetryMs, longestRetryMs) * (0.5 + this.#random() / 2);
    this.#metrics.queueRetries.inc(this.#label);
    this.addAfter(key, waitMs, priority);
    return waitMs;
  }

  /** How often in a row it failed. */
  failuresOf(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  /** It went well. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** The next key; null when the queue is closed. `done` must follow. */
  async take(): Promise<string | null> {
    if (this.#isClosed) return null;
    const key = this.#next();
    if (key !== null) return key;
    const { promise, resolve } = Promise.withResolvers<string | null>();
    this.#takers.push(resolve);
    return await promise;
  }

  done(key: string): void {
    const takenAt = this.#taken.get(key);
    if (takenAt === undefined) return;
    const now = this.#clock.monotonicMs();
    this.#taken.delete(key);
    this.#metrics.queueWorkSeconds.observe(this.#label, (now - takenAt) / 1000);
    const priority = this.#again.get(key);
    this.#again.delete(key);
    if (priority !== undefined && !this.#isClosed) this.#put(key, priority, now);
  }

  /** Nothing is taken any more, nothing added. */
  close(): void {
    this.#isClosed = true;
    for (const { timer } of this.#later.values()) clearTimeout(timer);
    this.#later.clear();
    for (const priority of order) this.#waiting[priority].clear();
    this.#metrics.queueDepth.set(this.#label, 0);
    for (const resolve of this.#takers.splice(0)) resolve(null);
  }

  /** Sets the metrics that grow by themselves. */
  observe(): void {
    const now = this.#clock.monotonicMs();
    const ages = [...this.#taken.values()].map((takenAt) => (now - takenAt) / 1000);
    this.#metrics.queueUnfinishedSeconds.set(
      this.#label,
      ages.reduce((sum, age) => sum + age, 0),
    );
    this.#metrics.queueLongestSeconds.set(this.#label, Math.max(0, ...ages));
  }

  #put(key: string, priority: Priority, since: number): void {
    this.#waiting[priority].set(key, since);
    const taker = this.#takers.shift();
    if (taker) taker(this.#next());
    this.#metrics.queueDepth.set(this.#label, this.depth);
  }

  #next(): string | null {
    for (const priority of order) {
      const first = this.#waiting[priority].entries().next();
      if (first.done) continue;
      const [key, since] = first.value;
      const now = this.#clock.monotonicMs();
      this.#waiting[priority].delete(key);
      this.#taken.set(key, now);
      this.#metrics.queueWaitSeconds.observe(this.#label, (now - since) / 1000);
      this.#metrics.queueDepth.set(this.#label, this.depth);
      return key;
    }
    return null;
  }
}

const higher = (one: Priority, other: Priority): Priority => (order.indexOf(one) <= order.indexOf(other) ? one : other);
