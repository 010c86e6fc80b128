/**
 * Asks the database every few seconds whether it is there, for health and metrics. Nothing else depends on the
 * answer: every operation finds out for itself, and recovers by itself.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import type { Health } from '#shared/observe/health.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { Metrics } from '#shared/observe/metrics.ts';
import type { PostgresDatabase } from './client.ts';

export type DatabaseWatchOptions = {
  readonly database: PostgresDatabase;
  readonly health: Health;
  readonly metrics: Pick<Metrics, 'databaseUp'>;
  readonly logger: Logger;
  /** Between two looks, in ms. */
  readonly everyMs: number;
};

export class DatabaseWatch implements AsyncDisposable {
  readonly #options: DatabaseWatchOptions;
  readonly #stopping = new AbortController();
  readonly #watching: Promise<void>;
  #isUp = true;

  /** The database was seen just before. */
  constructor(options: DatabaseWatchOptions) {
    this.#options = options;
    options.metrics.databaseUp.set(1);
    this.#watching = this.#watch();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#watching;
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await sleep(this.#options.everyMs, undefined, { signal, ref: false }).catch(() => undefined);
      if (!signal.aborted) await this.#look();
    }
  }

  async #look(): Promise<void> {
    try {
      await sql`select 1`.execute(this.#options.database.db);
      this.#changed(true, null);
    } catch (error) {
      this.#changed(false, error);
    }
  }

  #changed(isUp: boolean, err: unknown): void {
    if (isUp === this.#isUp) return;
    this.#isUp = isUp;
    const { health, metrics, logger } = this.#options;
    metrics.databaseUp.set(isUp ? 1 : 0);
    if (isUp) {
      health.recover('database');
      logger.info({ event: 'db.up' }, 'the database answers again');
    } else {
      health.degrade('database', 'does not answer; clients are told to come again later');
      logger.error({ event: 'db.down', err }, 'the database does not answer');
    }
  }
}
