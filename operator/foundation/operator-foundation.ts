import type { Clock } from '#shared/base/clock.ts';
import type { OperatorConfig } from '#shared/config/operator-config.ts';
import type { PostgresDatabase } from '#shared/db/client.ts';
import type { Keyring } from '#shared/directory/keyring.ts';
import type { Health } from '#shared/observe/health.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { OperatorMetrics } from '#shared/observe/operator-metrics.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import type { EventRecorder } from '#operator/kube/event-recorder.ts';
import type { StatusBoard } from '#operator/status/status-board.ts';
import type { ResourceCaches } from './resource-caches.ts';

/** What every part of an operator is made with, whether it leads or waits. */
export type OperatorBasis = {
  readonly config: OperatorConfig;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly health: Health;
  readonly metrics: OperatorMetrics;
  readonly client: KubeClient;
  /** Where the operator itself lives: the Lease, the Secret with the keyring. */
  readonly namespace: string;
  readonly resources: ResourceCaches;
  /** `database.db` is Kysely; it may be away at any time. */
  readonly database: PostgresDatabase;
};

/** What the process that leads has besides. */
export type Leading = {
  readonly board: StatusBoard;
  readonly events: EventRecorder;
  /** Aborted when the lease is lost: write no more. */
  readonly lost: AbortSignal;
};

/**
 * What the parts that write rows are made with. They are opened when this process leads, the caches are filled, and
 * database, schema and keyring are there; they are disposed of at the end. An error of the database must not reject
 * out of a part: it reports `Unknown` and tries again.
 */
export type OperatorFoundation = OperatorBasis &
  Leading & {
    readonly keyring: Keyring;
    /** Of this leader, for `assertEpoch` in each transaction that writes. */
    readonly epoch: bigint;
    /** Another leader has taken the database over: the process ends. */
    readonly deposed: (error: unknown) => void;
  };
