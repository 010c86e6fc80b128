/**
 * Lanes whose next hop has nothing more for now. Their connections stay open for a moment, and what comes meanwhile goes
 * over them before another lane is opened.
 */
import { MailError } from '#server/mail/mail-error.ts';
import type { LaneBatch, QueueLane } from '#server/mail/outbound-queue.ts';

type Waiting = {
  readonly lane: QueueLane;
  readonly settle: PromiseWithResolvers<LaneBatch | null>;
  /** The queue is being asked: what it gives is in hand, so nobody may leave meanwhile. */
  isAsked: boolean;
  isOver: boolean;
};

export class IdleLanes {
  readonly #next: (lane: QueueLane) => Promise<LaneBatch | null>;
  /** Who has waited longest is first. */
  readonly #waiting = new Set<Waiting>();

  /** `next` may reject with MailError: then the lane ends. */
  constructor(next: (lane: QueueLane) => Promise<LaneBatch | null>) {
    this.#next = next;
  }

  /** The lane's next batch; null: none came within the time, or its place is wanted. */
  async wait(lane: QueueLane, ms: number, ended: AbortSignal): Promise<LaneBatch | null> {
    if (ended.aborted || ms <= 0) return null;
    const waiting = { lane, settle: Promise.withResolvers<LaneBatch | null>(), isAsked: false, isOver: false };
    this.#waiting.add(waiting);
    const end = (): void => this.#end(waiting);
    const timer = setTimeout(end, ms);
    ended.addEventListener('abort', end, { once: true });
    try {
      return await waiting.settle.promise;
    } finally {
      clearTimeout(timer);
      ended.removeEventListener('abort', end);
    }
  }

  /** Something may be due: resolves when the queue was asked for all that wait. */
  async offer(): Promise<void> {
    await Promise.all(Array.from(this.#waiting, (waiting) => this.#ask(waiting)));
  }

  /** Ends so many of them: others need their places. */
  release(count: number): void {
    for (const waiting of [...this.#waiting].slice(0, Math.max(0, count))) this.#end(waiting);
  }

  async #ask(waiting: Waiting): Promise<void> {
    const { lane, settle } = waiting;
    waiting.isAsked = true;
    try {
      const batch = await this.#next(lane);
      waiting.isAsked = false;
      if (batch === null) {
        if (waiting.isOver) this.#end(waiting);
        return;
      }
      this.#waiting.delete(waiting);
      settle.resolve(batch);
    } catch (error) {
      this.#waiting.delete(waiting);
      if (error instanceof MailError) settle.resolve(null);
      else settle.reject(error);
    }
  }

  #end(waiting: Waiting): void {
    waiting.isOver = true;
    if (waiting.isAsked) return;
    this.#waiting.delete(waiting);
    waiting.settle.resolve(null);
  }
}
