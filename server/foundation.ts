import type { Clock } from '#shared/base/clock.ts';
import type { ServerConfig } from '#shared/config/server-config.ts';
import type { Health } from '#shared/observe/health.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { Metrics } from '#shared/observe/metrics.ts';

/** What every part of a server is made with. */
export type Foundation = {
  readonly config: ServerConfig;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly health: Health;
  readonly metrics: Metrics;
  /** Closes what was opened, the last first. */
  readonly stack: AsyncDisposableStack;
};
