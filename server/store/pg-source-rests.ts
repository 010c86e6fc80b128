/** Which of our addresses rest at which destinations, for all processes: read every few seconds, written at once. */
import { sql, type Kysely } from 'kysely';
import type { Clock } from '#shared/base/clock.ts';
import type { Database } from '#shared/db/schema.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { SourceRests } from '#server/mail/outbound-routes.ts';
import { Rereading } from './rereading.ts';

/** The first rest, in seconds; each block in a row doubles it. */
const firstRestSeconds = 15 * 60;
const longestRestSeconds = 24 * 3600;
/** Rows of rests that are over; whoever is blocked again by then rests longer. */
const forgottenAfterSeconds = 7 * 24 * 3600;

export type PgSourceRestsOptions = {
  readonly db: Kysely<Database>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Between two readings, in ms; 10 s unless told. */
  readonly everyMs?: number;
};

export interface PgSourceRests extends SourceRests, AsyncDisposable {
  /** Resolves when what was told before has been written. */
  settled(): Promise<void>;
  reread(): Promise<void>;
}

export async function openPgSourceRests(options: PgSourceRestsOptions): Promise<PgSourceRests> {
  const rests = new Rests(options);
  const rereading = new Rereading({
    what: 'resting source addresses',
    logger: options.logger,
    everyMs: options.everyMs ?? 10_000,
    read: () => rests.read(),
  });
  await rereading.start();
  return {
    rested: (destination, addresses) => rests.rested(destination, addresses),
    block: (destination, address, reason) => rests.block(destination, address, reason),
    clear: (destination, address) => rests.clear(destination, address),
    settled: () => rests.settled(),
    reread: () => rereading.now(),
    [Symbol.asyncDispose]: async () => {
      await rereading[Symbol.asyncDispose]();
      await rests.settled();
    },
  };
}

class Rests {
  readonly #options: PgSourceRestsOptions;
  /** Until when, by destination and address; those that are over too, so that mail taken clears them. */
  #until = new Map<string, Date>();
  #writing: Promise<void> = Promise.resolve();

  constructor(options: PgSourceRestsOptions) {
    this.#options = options;
  }

  rested(destination: string, addresses: readonly string[]): readonly string[] {
    if (this.#until.size === 0) return addresses;
    const now = this.#options.clock.now();
    return addresses.filter((address) => (this.#until.get(`${destination} ${address}`) ?? now) <= now);
  }

  block(destination: string, address: string, reason: string): void {
    const now = this.#options.clock.now();
    const key = `${destination} ${address}`;
    // Connections that were open together are blocked together: that counts once.
    if ((this.#until.get(key) ?? now) > now) return;
    this.#until.set(key, new Date(now.getTime() + firstRestSeconds * 1000));
    this.#options.logger.warn(
      { event: 'source.blocked', destination, address, reason },
      'a destination turns away one of our addresses; it rests there',
    );
    this.#write(async (db) => {
      const rest = sql<Date>`now() + make_interval(secs => least(${longestRestSeconds}::double precision,
        ${firstRestSeconds}::double precision * power(2, least(20, source_rest.blocks))))`;
      const { until } = await db
        .insertInto('source_rest')
        .values({
          destination,
          address,
          blocks: 1,
          reason,
          until: sql<Date>`now() + make_interval(secs => ${firstRestSeconds}::double precision)`,
        })
        .onConflict((conflict) =>
          conflict
            .columns(['destination', 'address'])
            .doUpdateSet({ blocks: sql<number>`source_rest.blocks + 1`, reason, until: rest }),
        )
        .returning('until')
        .executeTakeFirstOrThrow();
      this.#until.set(key, until);
    });
  }

  clear(destination: string, address: string): void {
    if (!this.#until.delete(`${destination} ${address}`)) return;
    this.#write(async (db) => {
      await db
        .deleteFrom('source_rest')
        .where('destination', '=', destination)
        .where('address', '=', address)
        .execute();
    });
  }

  async read(): Promise<void> {
    const { db } = this.#options;
    await this.#writing;
    await db
      .deleteFrom('source_rest')
      .where('until', '<', sql<Date>`now() - make_interval(secs => ${forgottenAfterSeconds}::double precision)`)
      .execute();
    const rows = await db.selectFrom('source_rest').select(['destination', 'address', 'until']).execute();
    this.#until = new Map(rows.map(({ destination, address, until }) => [`${destination} ${address}`, until]));
  }

  settled(): Promise<void> {
    return this.#writing;
  }

  #write(work: (db: Kysely<Database>) => Promise<void>): void {
    const { db, logger } = this.#options;
    this.#writing = this.#writing
      .then(() => work(db))
      .catch((error: unknown) => {
        logger.warn({ event: 'source.not-written', err: error }, 'a rest of an address was not written');
      });
  }
}
