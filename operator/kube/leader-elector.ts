/** One process of several leads: it holds a Lease (coordination.k8s.io/v1) and renews it. */
import type { Clock } from '#shared/base/clock.ts';
import type { KubeMetrics } from '#shared/observe/kube-metrics.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { KubeClient } from './client.ts';

/** The lease is another's, or could not be renewed in time: the process ends, so that nothing of it goes on. */
export class LeadershipLost extends Error {
  override readonly name = 'LeadershipLost';
}

export type LeaderElectorOptions = {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly name: string;
  /** Differs between processes: the pod's name and something random. */
  readonly identity: string;
  /** A graceful end: `onLead` is told by its signal and waited for, then the lease is given back. */
  readonly signal: AbortSignal;
  /** Leads until its signal is aborted, by a graceful end (then it may finish) or by loss (then it must not write). */
  readonly onLead: (lead: { readonly stop: AbortSignal; readonly lost: AbortSignal }) => Promise<void>;
  readonly logger: Logger;
  readonly metrics: KubeMetrics;
  readonly clock: Clock;
  /** Others wait so long after the last renewal that they saw; 15,000. */
  readonly leaseMs?: number;
  /** The leader gives up when it could not renew for so long; 10,000. */
  readonly renewMs?: number;
  /** Between two tries; 2,000. */
  readonly retryMs?: number;
};

export class LeaderElector {
  constructor(_options: LeaderElectorOptions) {}

  get isLeader(): boolean {
    throw new Error('not yet');
  }

  /**
   * Waits for the lease, then runs `onLead`. Resolves after a graceful end, rejects with LeadershipLost, or with what
   * `onLead` threw (the lease is given back then).
   */
  run(): Promise<void> {
    throw new Error('not yet');
  }

  /** For a liveness check: why this leader should be killed (its lease is long past and it has not noticed); or null. */
  check(): string | null {
    throw new Error('not yet');
  }
}
