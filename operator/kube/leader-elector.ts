/**
 * One process of several leads: it holds a Lease (coordination.k8s.io/v1) and renews it. The clocks of two machines
 * are never compared: what counts is how long ago, by the own clock, the lease was last seen to change. A process that
 * was paused may not know yet that it has lost; what it writes must be fenced by who it writes to.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '#shared/base/clock.ts';
import type { KubeMetrics } from '#shared/observe/kube-metrics.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { KubeClient } from './client.ts';
import { leases, type Lease } from './core-resources.ts';
import { isAlreadyExists, isConflict, isNotFound } from './kube-error.ts';
import { apiVersionOf } from './resource.ts';

/** The lease is another's, or could not be renewed in time: the process ends, so that nothing of it goes on. */
export class LeadershipLost extends Error {
  override readonly name = 'LeadershipLost';
}

export type Lead = {
  /** A graceful end, or loss: finish. */
  readonly stop: AbortSignal;
  /** Loss: write nothing more. */
  readonly lost: AbortSignal;
};

export type LeaderElectorOptions = {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly name: string;
  /** Differs between processes: the pod's name and something random. */
  readonly identity: string;
  /** A graceful end: `onLead` is told by its signal and waited for, then the lease is given back. */
  readonly signal: AbortSignal;
  /** Leads until its signal is aborted, by a graceful end (then it may finish) or by loss (then it must not write). */
  readonly onLead: (lead: Lead) => Promise<void>;
  readonly logger: Logger;
  readonly metrics: KubeMetrics;
  readonly clock: Clock;
  /** Others wait so long after the last renewal that they saw; whole seconds; 15,000. */
  readonly leaseMs?: number;
  /** The leader gives up when it could not renew for so long; 10,000. */
  readonly renewMs?: number;
  /** Between two tries; 2,000. Who waits tries every 1,200 at least. */
  readonly retryMs?: number;
};

/** So much later, so that it has run out then. */
const runOutMarginMs = 5;
/** Who waits looks this often at least: a lease that was given back is taken soon, by less than a request a second. */
const longestWaitMs = 1_200;

/** How long after its end a leader may still believe in its lease before a liveness check says so. */
const toleratedMs = 20_000;

export class LeaderElector {
  readonly #options: LeaderElectorOptions;
  readonly #logger: Logger;
  readonly #leaseMs: number;
  readonly #renewMs: number;
  readonly #retryMs: number;
  /** The lease as it was when it was last seen to change. */
  #observed: { readonly lease: Lease; readonly at: number } | null = null;
  /** When the renewal that succeeded last was begun; null while another leads. */
  #renewedAt: number | null = null;

  constructor(options: LeaderElectorOptions) {
    this.#options = options;
    this.#leaseMs = options.leaseMs ?? 15_000;
    this.#renewMs = options.renewMs ?? 10_000;
    this.#retryMs = options.retryMs ?? 2_000;
    this.#logger = options.logger.child({ lease: `${options.namespace}/${options.name}`, identity: options.identity });
    this.#setLeader(null);
  }

  /** False from the moment on in which another may lead, though nobody has told this process yet. */
  get isLeader(): boolean {
    return this.#renewedAt !== null && this.#options.clock.monotonicMs() - this.#renewedAt < this.#leaseMs;
  }

  /** For a liveness check: why this leader should be killed (its lease is long past and it goes on); or null. */
  check(): string | null {
    if (this.#renewedAt === null) return null;
    const ageMs = this.#options.clock.monotonicMs() - this.#renewedAt;
    if (ageMs < this.#leaseMs + toleratedMs) return null;
    return `the lease was last renewed ${Math.round(ageMs / 1000)} s ago`;
  }

  /**
   * Waits for the lease, then runs `onLead`. Resolves after a graceful end, rejects with LeadershipLost, or with what
   * `onLead` threw (the lease is given back then).
   */
  async run(): Promise<void> {
    if (!(await this.#acquire())) return;
    const lost = new AbortController();
    const stop = new AbortController();
    const end = (): void => stop.abort(this.#options.signal.reason);
    this.#options.signal.addEventListener('abort', end, { once: true });
    if (this.#options.signal.aborted) end();
    const finished = new AbortController();
    const renewing = this.#renew(lost, finished.signal);
    lost.signal.addEventListener('abort', () => stop.abort(lost.signal.reason), { once: true });
    try {
      await this.#lead({ stop: stop.signal, lost: lost.signal });
    } finally {
      this.#options.signal.removeEventListener('abort', end);
      finished.abort();
      await renewing;
      if (!lost.signal.aborted) await this.#release();
      this.#setLeader(null);
    }
    lost.signal.throwIfAborted();
  }

  /** What `onLead` does; after a loss it is waited for only until others may lead. */
  async #lead(lead: Lead): Promise<void> {
    const work = this.#options.onLead(lead);
    const { promise: left, resolve: leave } = Promise.withResolvers<void>();
    let timer: NodeJS.Timeout | undefined;
    lead.lost.addEventListener('abort', () => (timer = setTimeout(leave, this.#leaseMs - this.#renewMs)), {
      once: true,
    });
    try {
      await Promise.race([work, left]);
    } catch (error) {
      // A loss makes work fail; the loss is what matters.
      if (!lead.lost.aborted) throw error;
      this.#logger.debug({ event: 'kube.lease.work.failed', err: error });
    } finally {
      clearTimeout(timer);
      work.catch(() => undefined);
    }
  }

  /** False: the end came first. */
  async #acquire(): Promise<boolean> {
    const { signal } = this.#options;
    this.#logger.info({ event: 'kube.lease.wait' });
    while (!signal.aborted) {
      const startedAt = this.#options.clock.monotonicMs();
      try {
        if (await this.#tryToTake(signal)) {
          this.#setLeader(startedAt);
          this.#logger.info({ event: 'kube.lease.taken' });
          return true;
        }
      } catch (error) {
        if (signal.aborted) return false;
        this.#logger.warn({ event: 'kube.lease.failed', err: error });
      }
      // One that runs out is taken at once.
      const waitMs = Math.min(this.#retryMs, longestWaitMs) * (0.75 + Math.random() / 4);
      await rest(Math.min(waitMs, this.#runsOutInMs()), signal);
    }
    return false;
  }

  /** Until nobody has renewed the lease for its whole time; Infinity where that is over, or nobody holds it. */
  #runsOutInMs(): number {
    if (this.#observed === null) return Infinity;
    const { lease, at } = this.#observed;
    const heldMs = (lease.spec.leaseDurationSeconds ?? this.#leaseMs / 1000) * 1000;
    const leftMs = at + heldMs - this.#options.clock.monotonicMs();
    return leftMs > 0 ? leftMs + runOutMarginMs : Infinity;
  }

  async #tryToTake(signal: AbortSignal): Promise<boolean> {
    const { client, clock, identity } = this.#options;
    const lease = await this.#read(signal);
    if (lease === null) return await this.#create(signal);
    if (this.#observed?.lease.metadata.resourceVersion !== lease.metadata.resourceVersion) {
      this.#observed = { lease, at: clock.monotonicMs() };
    }
    const { holderIdentity: holder, leaseDurationSeconds, leaseTransitions = 0 } = lease.spec;
    const unchangedMs = clock.monotonicMs() - this.#observed.at;
    const heldMs = (leaseDurationSeconds ?? this.#leaseMs / 1000) * 1000;
    if (holder && holder !== identity && unchangedMs < heldMs) return false;
    const now = microTime(clock.now());
    const spec = {
      holderIdentity: identity,
      leaseDurationSeconds: this.#leaseMs / 1000,
      acquireTime: now,
      renewTime: now,
      leaseTransitions: holder === identity ? leaseTransitions : leaseTransitions + 1,
    };
    try {
      const { resourceVersion } = lease.metadata;
      const taken = await client.patchMerge(leases, this.#at, { spec }, { resourceVersion, ...this.#call(signal) });
      this.#observed = { lease: taken, at: clock.monotonicMs() };
      return true;
    } catch (error) {
      if (isConflict(error) || isNotFound(error)) return false; // Another was quicker.
      throw error;
    }
  }

  async #create(signal: AbortSignal): Promise<boolean> {
    const { client, clock, identity, namespace, name } = this.#options;
    const now = microTime(clock.now());
    const spec = {
      holderIdentity: identity,
      leaseDurationSeconds: this.#leaseMs / 1000,
      acquireTime: now,
      renewTime: now,
      leaseTransitions: 0,
    };
    const lease = { apiVersion: apiVersionOf(leases), kind: leases.kind, metadata: { namespace, name }, spec };
    try {
      this.#observed = { lease: await client.create(leases, lease, this.#call(signal)), at: clock.monotonicMs() };
      return true;
    } catch (error) {
      if (isAlreadyExists(error)) return false;
      throw error;
    }
  }

  /** Until `finished`. Aborts `lost` when another holds the lease, or none could be renewed for `renewMs`. */
  async #renew(lost: AbortController, finished: AbortSignal): Promise<void> {
    const lose = (message: string): void => {
      this.#setLeader(null);
      this.#logger.error({ event: 'kube.lease.lost' }, message);
      lost.abort(new LeadershipLost(message));
    };
    const late = (): void => lose(`the lease could not be renewed for ${this.#renewMs} ms`);
    // A timer of its own: a request that hangs must not keep this from being noticed.
    const timer = setTimeout(late, this.#renewMs);
    const ended = AbortSignal.any([lost.signal, finished]);
    try {
      for (;;) {
        await rest(this.#retryMs, ended);
        if (ended.aborted) return;
        const startedAt = this.#options.clock.monotonicMs();
        // At the end it is waited for: a lease whose version is not known cannot be given back.
        const outcome = await this.#renewOnce(lost.signal);
        if (lost.signal.aborted) return;
        if (outcome === 'taken') {
          lose('another process holds the lease');
          return;
        }
        if (outcome === 'failed') continue;
        if (this.#renewedAt !== null && startedAt - this.#renewedAt > this.#leaseMs) {
          // This process was paused for longer than the lease, and nobody took it: what it believes may be old.
          lose('the lease was past when it was renewed');
          return;
        }
        this.#setLeader(startedAt);
        timer.refresh();
      }
    } finally {
      clearTimeout(timer);
    }
  }

  async #renewOnce(signal: AbortSignal): Promise<'renewed' | 'failed' | 'taken'> {
    const { client, clock, identity } = this.#options;
    const resourceVersion = this.#observed?.lease.metadata.resourceVersion ?? '';
    try {
      const patch = { spec: { renewTime: microTime(clock.now()) } };
      const lease = await client.patchMerge(leases, this.#at, patch, { resourceVersion, ...this.#call(signal) });
      this.#observed = { lease, at: clock.monotonicMs() };
      return 'renewed';
    } catch (error) {
      if (isNotFound(error)) return 'taken'; // Somebody deleted it; another may have made it anew.
      if (!isConflict(error)) {
        if (!signal.aborted) this.#logger.warn({ event: 'kube.lease.renew.failed', err: error });
        return 'failed';
      }
    }
    try {
      const lease = await this.#read(signal);
      if (lease?.spec.holderIdentity !== identity) return 'taken';
      this.#observed = { lease, at: clock.monotonicMs() };
    } catch (error) {
      this.#logger.warn({ event: 'kube.lease.renew.failed', err: error });
    }
    return 'failed';
  }

  /** So that another need not wait for the lease to pass. */
  async #release(): Promise<void> {
    const { client, clock } = this.#options;
    const lease = this.#observed?.lease;
    if (!lease) return;
    const spec = { holderIdentity: '', leaseDurationSeconds: 1, renewTime: microTime(clock.now()) };
    const { resourceVersion } = lease.metadata;
    try {
      await client.patchMerge(leases, this.#at, { spec }, { resourceVersion, deadlineMs: this.#retryMs });
      this.#logger.info({ event: 'kube.lease.released' });
    } catch (error) {
      this.#logger.warn({ event: 'kube.lease.release.failed', err: error });
    }
  }

  async #read(signal: AbortSignal): Promise<Lease | null> {
    try {
      return await this.#options.client.get(leases, this.#at, this.#call(signal));
    } catch (error) {
      if (isNotFound(error)) return null;
      throw error;
    }
  }

  get #at(): { readonly namespace: string; readonly name: string } {
    return { namespace: this.#options.namespace, name: this.#options.name };
  }

  /** A try must leave time for another before the lease is past. */
  #call(signal: AbortSignal): { readonly signal: AbortSignal; readonly deadlineMs: number } {
    return { signal, deadlineMs: this.#renewMs / 2 };
  }

  #setLeader(renewedAt: number | null): void {
    this.#renewedAt = renewedAt;
    this.#options.metrics.isLeader.set({ name: this.#options.name }, renewedAt === null ? 0 : 1);
  }
}

/** `MicroTime` of meta/v1: the server takes no fewer digits. */
function microTime(date: Date): string {
  return date.toISOString().replace('Z', '000Z');
}

async function rest(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined); // Who waits looks at the signal.
}
