import type pg from 'pg';
import type { PostgresDatabase } from '#shared/db/client.ts';

/** A database connection of its own for one purpose: made at the first use, and anew after it was lost. */
export class KeptConnection implements AsyncDisposable {
  readonly #connect: () => Promise<pg.Client>;
  #client: pg.Client | null = null;

  /** `settings` are server settings of its session. */
  constructor(database: PostgresDatabase, purpose: string, settings: Readonly<Record<string, string>>) {
    this.#connect = () => database.connect(purpose, settings);
  }

  /** One at a time: two who find none would make two. */
  async get(): Promise<pg.Client> {
    if (this.#client) return this.#client;
    const client = await this.#connect();
    client.on('end', () => {
      if (this.#client === client) this.#client = null;
    });
    this.#client = client;
    return client;
  }

  /** Of no use any more: the next `get` connects. */
  drop(client: pg.Client): void {
    if (this.#client === client) this.#client = null;
    void client.end().catch(() => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const client = this.#client;
    this.#client = null;
    await client?.end();
  }
}
