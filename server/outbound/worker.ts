/**
 * Works on the outbound queue: takes lanes to next hops that are due, runs them side by side, and keeps the lease on what
 * it has in hand. Any number of processes may; none knows of another but by the queue.
 */
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { MailError } from '#server/mail/mail-error.ts';
import type { Notices, QueueAdministration } from '#server/mail/outbound-ports.ts';
import type { LaneBatch, OutboundQueue } from '#server/mail/outbound-queue.ts';
import type { RecipientDirectory } from '#server/mail/ports.ts';
import { IdleLanes } from './idle-lanes.ts';
import { runLane, type LaneControl, type LaneServices } from './lane-run.ts';
import { Lease } from './lease.ts';
import { Ledger } from './ledger.ts';
import { NoticeDesk } from './notice-desk.ts';
import { keepCounting } from './queue-gauges.ts';

export type OutboundWorkerOptions = Omit<LaneServices, 'ledger' | 'desk'> & {
  readonly queue: OutboundQueue;
  readonly statistics: Pick<QueueAdministration, 'statistics'>;
  readonly notices: Notices;
  readonly directory: Pick<RecipientDirectory, 'resolveRecipient'>;
  /** Calls `woken` whenever something may be due. */
  readonly subscribe: (woken: () => void) => Disposable;
  /** Of the queue. */
  readonly leaseSeconds: number;
  /** Lanes of this process at a time. */
  readonly maxLanes: number;
  readonly pollMs?: number;
};

/** Recipients of a lane's first batch, which others may wait behind, and of the next ones. */
const firstRows = 25;
const nextRows = 100;
const lanesPerClaim = 16;
const defaultPollMs = 1_000;
const reapsPerLease = 4;

/** For as long as the queue knows this process under one identity. */
type Shift = {
  readonly ledger: Ledger;
  readonly lease: Lease;
  readonly lanes: Set<Promise<void>>;
  readonly services: LaneServices;
  readonly control: LaneControl;
};

export class OutboundWorker {
  readonly name = 'outbound';
  readonly #options: OutboundWorkerOptions;
  /** No further message is begun. */
  readonly #stopping = new AbortController();
  /** The grace time is over: what is under way is cut off, and what is not written is given up. */
  readonly #cutting = new AbortController();
  #wake: () => void = () => undefined;
  #running: Promise<void> | null = null;

  constructor(options: OutboundWorkerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /**
   * Claims no more; messages under way are finished, and the rest of what is in hand is given back. After `graceMs`
   * what is left is cut off, and lapses.
   */
  async stop(graceMs: number): Promise<void> {
    this.#stopping.abort();
    this.#wake();
    // A little of it, to write what became of what was cut off.
    const cut = setTimeout(() => this.#cutting.abort(), graceMs * 0.8);
    await this.#running;
    clearTimeout(cut);
  }

  async #run(): Promise<void> {
    const { subscribe, logger } = this.#options;
    using _ = subscribe(() => this.#wake());
    const counting = keepCounting(this.#options, this.#stopping.signal);
    while (!this.#stopping.signal.aborted) {
      try {
        await this.#shift();
      } catch (err) {
        logger.warn({ event: 'queue.unavailable', err }, 'the outbound queue is interrupted');
        await this.#pause(1_000);
      }
    }
    await counting;
  }

  async #shift(): Promise<void> {
    const { queue, clock, leaseSeconds, logger } = this.#options;
    const enteredAt = clock.monotonicMs();
    await queue.enter(`${hostname()} ${process.pid}`);
    const lease = new Lease({
      queue,
      clock,
      leaseSeconds,
      onError: (err) =>
        logger.warn({ event: 'queue.heartbeat-failed', err }, 'the lease on the queue was not extended'),
    });
    lease.start(enteredAt);
    const shift = this.#openShift(lease);
    const reaping = this.#reapDuring(lease);
    try {
      await this.#claimDuring(shift);
    } finally {
      await Promise.all(shift.lanes);
      await lease.stop();
      await reaping;
    }
    if (lease.lost.aborted) {
      logger.warn({ event: 'queue.lease-lost' }, 'the lease on the queue was lost; others have what was in hand');
      return;
    }
    await queue.leave();
  }

  #openShift(lease: Lease): Shift {
    const { queue, logger, metrics, notices, directory } = this.#options;
    const ledger = new Ledger({
      queue,
      rows: nextRows,
      abandoned: this.#cutting.signal,
      onRetry: (err) => {
        metrics.queueWriteRetries.inc();
        logger.warn({ event: 'queue.write-retried', err }, 'an outcome could not be written yet');
      },
    });
    const desk = new NoticeDesk({ notices, directory, ledger, logger });
    return {
      ledger,
      lease,
      lanes: new Set(),
      services: { ...this.#options, ledger, desk },
      control: {
        stopping: AbortSignal.any([this.#stopping.signal, lease.lost]),
        abort: AbortSignal.any([this.#cutting.signal, lease.lost]),
        isLeaseValid: () => lease.isValid(),
        idle: new IdleLanes((lane) => ledger.next(lane)),
      },
    };
  }

  async #claimDuring(shift: Shift): Promise<void> {
    const { maxLanes, pollMs = defaultPollMs, logger } = this.#options;
    const { lease, lanes, control } = shift;
    while (!control.stopping.aborted) {
      const woken = this.#woken();
      // Open connections first: what they take needs no other.
      await control.idle.offer();
      const free = Math.min(maxLanes - lanes.size, lanesPerClaim);
      let claimed = 0;
      if (free > 0 && lease.isValid()) {
        try {
          const batches = await this.#claim(shift, free);
          claimed = batches.length;
          for (const batch of batches) this.#open(batch, shift);
        } catch (err) {
          if (!(err instanceof MailError)) throw err;
          logger.warn({ event: 'queue.claim-failed', err }, 'nothing could be claimed from the queue');
        }
      }
      // As many as were asked for: there may be more.
      if (claimed === free) {
        control.idle.release(lanesPerClaim - free);
        if (free > 0) continue;
      }
      await Promise.race([woken, this.#pause(pollMs, control.stopping)]);
    }
  }

  async #claim({ ledger }: Shift, free: number): Promise<readonly LaneBatch[]> {
    const { clock, metrics } = this.#options;
    const startedAt = clock.monotonicMs();
    const batches = await ledger.claim(free, firstRows);
    if (batches.length > 0) metrics.queueClaimSeconds.observe((clock.monotonicMs() - startedAt) / 1000);
    return batches;
  }

  #open(batch: LaneBatch, { lanes, services, control }: Shift): void {
    const { metrics } = this.#options;
    const running = runLane(batch, services, control).then(() => {
      lanes.delete(running);
      metrics.queueLanes.dec();
      this.#wake();
    });
    lanes.add(running);
    metrics.queueLanes.inc();
  }

  async #reapDuring(lease: Lease): Promise<void> {
    const { queue, leaseSeconds, metrics, logger } = this.#options;
    const ended = AbortSignal.any([this.#stopping.signal, lease.lost]);
    while (!ended.aborted) {
      await this.#pause((leaseSeconds * 1000) / reapsPerLease, ended);
      if (ended.aborted || !lease.mayReap) continue;
      try {
        const lanes = await queue.reap();
        if (lanes === 0) continue;
        metrics.queueLapsedLanes.inc(lanes);
        logger.warn({ event: 'queue.lapsed', lanes }, 'lanes of a worker that was not heard of were taken back');
        this.#wake();
      } catch (err) {
        logger.warn({ event: 'queue.reap-failed', err }, 'lapsed lanes could not be looked for');
      }
    }
  }

  /** Resolves at the next wake-up from now on. */
  #woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  async #pause(ms: number, signal: AbortSignal = this.#stopping.signal): Promise<void> {
    await sleep(ms, undefined, { signal, ref: false }).catch(() => undefined);
  }
}
