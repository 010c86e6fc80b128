/**
 * What lanes write to the queue and ask of it. An outcome is written until it is written: the peer has said 250, and
 * nobody else will ever know.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Gathered } from '#shared/base/gathered.ts';
import { Turns } from '#shared/directory/turns.ts';
import { MailError } from '#server/mail/mail-error.ts';
import type { Accepted, QueueRecipientId } from '#server/mail/outbound-ports.ts';
import type {
  InHand,
  LaneBatch,
  LaneReport,
  LaneToken,
  NoticeMail,
  OutboundQueue,
  QueueLane,
  Settlement,
} from '#server/mail/outbound-queue.ts';

const mostSettled = 500;
const mostLanes = 50;
const longestPauseMs = 1_000;

export type LedgerOptions = {
  readonly queue: OutboundQueue;
  /** Recipients of the next batch of a lane. */
  readonly rows: number;
  /** Gives up what is not yet written: the process must end, and its leases lapse. */
  readonly abandoned: AbortSignal;
  readonly onRetry: (error: unknown) => void;
};

export class Ledger {
  readonly #options: LedgerOptions;
  /** Claims, one after the other: what this worker holds is known only while none is under way. */
  readonly #claims = new Turns(1);
  readonly #settling: Gathered<readonly Settlement[], ReadonlySet<QueueRecipientId>>;
  readonly #going: Gathered<QueueLane, LaneBatch | null>;
  readonly #ending: Gathered<LaneReport, null>;
  /** Of batches in hand. */
  readonly #known = new Set<LaneToken>();
  /** A claim's answer was lost: there may be batches in hand that we don't know of. */
  #isUnsure = false;

  constructor(options: LedgerOptions) {
    this.#options = options;
    const { queue, rows } = options;
    this.#settling = new Gathered(mostSettled / 10, async (items) => {
      const stale = await this.#untilWritten(() => queue.settle(items.flat()));
      return items.map(() => stale);
    });
    this.#going = new Gathered(mostLanes, async (lanes) => {
      const next = await this.#claiming(async () => {
        const batches = await queue.next(lanes, rows);
        for (const [token, { lane }] of batches) this.#known.add(lane.token).delete(token);
        return batches;
      });
      return lanes.map(({ token }) => next.get(token) ?? null);
    });
    this.#ending = new Gathered(mostLanes, async (reports) => {
      await this.#untilWritten(() => queue.giveBack(reports));
      for (const { lane } of reports) this.#known.delete(lane.token);
      return reports.map(() => null);
    });
  }

  async claim(lanes: number, rows: number): Promise<readonly LaneBatch[]> {
    if (this.#isUnsure) await this.#disown();
    return await this.#claiming(async () => {
      const batches = await this.#options.queue.claim(lanes, rows);
      for (const { lane } of batches) this.#known.add(lane.token);
      return batches;
    });
  }

  /** Null: none now. Rejects with MailError unavailable. */
  next(lane: QueueLane): Promise<LaneBatch | null> {
    return this.#going.add(lane);
  }

  /** Resolves when it is written, with those that were not in hand any more (others' may be among them). */
  async settle(settlements: readonly Settlement[]): Promise<ReadonlySet<QueueRecipientId>> {
    return settlements.length === 0 ? new Set() : this.#settling.add(settlements);
  }

  settleWithNotice(settlements: readonly Settlement[], notice: NoticeMail): Promise<Accepted | null> {
    return this.#untilWritten(() => this.#options.queue.settleWithNotice(settlements, notice));
  }

  tellDelay(recipients: readonly InHand[], number: number, notice: NoticeMail): Promise<Accepted | null> {
    return this.#options.queue.tellDelay(recipients, number, notice);
  }

  async giveBack(report: LaneReport): Promise<void> {
    await this.#ending.add(report);
  }

  async #claiming<T>(claim: () => Promise<T>): Promise<T> {
    return this.#claims.take(async () => {
      try {
        return await claim();
      } catch (error) {
        this.#isUnsure = true;
        throw error;
      }
    });
  }

  async #disown(): Promise<void> {
    await this.#claims.take(async () => {
      await this.#options.queue.disown([...this.#known]);
      this.#isUnsure = false;
    });
  }

  async #untilWritten<T>(write: () => Promise<T>): Promise<T> {
    const { abandoned, onRetry } = this.#options;
    for (let pause = 50; ; pause = Math.min(longestPauseMs, pause * 2)) {
      try {
        return await write();
      } catch (error) {
        const isWorthwhile = error instanceof MailError && ['unavailable', 'storage-full'].includes(error.fault.kind);
        if (!isWorthwhile || abandoned.aborted) throw error;
        onRetry(error);
      }
      await sleep(pause, undefined, { signal: abandoned }).catch(() => undefined);
    }
  }
}
