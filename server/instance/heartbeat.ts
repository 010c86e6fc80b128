/** Keeps a server's row in the database, so that it can be asked how all servers are. */
import { setTimeout as sleep } from 'node:timers/promises';
import { sql, type Kysely } from 'kysely';
import type { Database } from '#shared/db/schema.ts';
import type { InstanceFacts } from './instance-facts.ts';

/** Between two signs of life, in ms. Who was not heard of in three of them counts as gone. */
const everyMs = 10_000;
/** Rows of servers that ended without a word are kept so long, for whoever looks what became of them. */
const keptSeconds = 3600;

export type HeartbeatOptions = {
  readonly db: Kysely<Database>;
  readonly name: string;
  readonly roles: readonly string[];
  readonly version: string;
  /** The newest migration that this release knows. */
  readonly schema: number;
  readonly facts: () => Promise<InstanceFacts>;
  /** A row that could not be written: the database is away, and others tell of that. */
  readonly onError: (error: unknown) => void;
};

export class Heartbeat implements AsyncDisposable {
  readonly #options: HeartbeatOptions;
  readonly #startedAt = new Date();
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  #written = '';
  #early = new AbortController();

  constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  /** Tells at once what has changed, such as that it drains. */
  beat(): void {
    this.#early.abort();
  }

  /** The row goes; where the database is away it is swept later. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    this.#early.abort();
    await this.#running;
    const { db, name, onError } = this.#options;
    await db.deleteFrom('server_instance').where('name', '=', name).execute().catch(onError);
  }

  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      this.#early = new AbortController();
      await this.#write().catch(this.#options.onError);
      const signal = AbortSignal.any([this.#stopping.signal, this.#early.signal]);
      await sleep(everyMs, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  async #write(): Promise<void> {
    const { db, name, version, schema } = this.#options;
    const facts = JSON.stringify(await this.#options.facts());
    const known = this.#written === facts;
    if (known) {
      const { numUpdatedRows } = await db
        .updateTable('server_instance')
        .set({ seen_at: sql<Date>`now()` })
        .where('name', '=', name)
        .executeTakeFirst();
      if (numUpdatedRows > 0n) return;
    }
    const row = { roles: [...this.#options.roles], version, schema, started_at: this.#startedAt, facts };
    await db
      .insertInto('server_instance')
      .values({ name, ...row, seen_at: sql<Date>`now()` })
      .onConflict((conflict) => conflict.column('name').doUpdateSet({ ...row, seen_at: sql<Date>`now()` }))
      .execute();
    await sql`delete from server_instance where seen_at < now() - make_interval(secs => ${keptSeconds})`.execute(db);
    this.#written = facts;
  }
}
