/** From the first signal to the end: in which order a running server lets go. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '#shared/base/clock.ts';
import type { Health } from '#shared/observe/health.ts';
import type { Logger } from '#shared/observe/logger.ts';

/** Something that takes connections. */
export interface Drainable {
  readonly name: string;
  /** Takes no more; running work finishes, at most `graceMs`, then what is left is dropped. */
  stop(graceMs: number): Promise<void>;
}

export type DrainOptions = {
  readonly health: Health;
  readonly listeners: readonly Drainable[];
  /** Not ready, but still accepting: until whoever routes to us has noticed. */
  readonly drainDelayMs: number;
  /** From now to the end at most, the delay included. */
  readonly graceMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** What closing the rest (database, feed) may still take of the grace time. */
const closingShareMs = 1_000;

export async function drain(options: DrainOptions): Promise<void> {
  const { health, listeners, logger, clock } = options;
  const startedAt = clock.monotonicMs();
  health.stop();
  logger.info({ event: 'server.draining', delayMs: options.drainDelayMs }, 'not ready any more; still accepting');
  await sleep(options.drainDelayMs);
  const left = options.graceMs - (clock.monotonicMs() - startedAt);
  const share = Math.min(closingShareMs, left / 4);
  logger.info({ event: 'server.stopping', graceMs: Math.round(left) }, 'no new connections; running work finishes');
  const outcomes = await Promise.allSettled(listeners.map((listener) => listener.stop(Math.max(0, left - share))));
  for (const [index, outcome] of outcomes.entries()) {
    if (outcome.status === 'rejected') {
      logger.error({ event: 'server.stop-failed', listener: listeners[index]?.name, err: outcome.reason as unknown });
    }
  }
}
