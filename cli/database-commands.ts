/** Commands that look at the database or change it as a whole. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { sql } from 'kysely';
import type pg from 'pg';
import { ProgramFault } from '#shared/base/program-fault.ts';
import type { ServerConfig } from '#shared/config/server-config.ts';
import { dataPaths } from '#shared/config/server-config.ts';
import { createDatabase, type PostgresDatabase } from '#shared/db/client.ts';
import { untilAvailable } from '#shared/db/await-schema.ts';
import { checkSchema, migrate } from '#shared/db/migrate.ts';
import { silentLogger } from '#shared/observe/logger.ts';
import { findEmbeddedPostgres, startEmbeddedPostgres } from '#server/embedded/embedded-postgres.ts';
import { raiseUidValidities } from '#server/store/after-restore.ts';
import { dropIndex } from '#server/store/pg-search-queue.ts';

const notificationTimeoutMs = 5_000;

export type Print = (line: string) => void;

/**
 * The database of the configuration; with --local and no DATABASE_URL the one in DATA_DIR: that of the server that is
 * running there, else one that is started for this.
 */
export async function withDatabase(
  config: ServerConfig,
  work: (database: PostgresDatabase) => Promise<void>,
): Promise<number> {
  const running = config.databaseUrl ? null : await findEmbeddedPostgres(dataPaths(config).directory);
  return withUrl(config, running?.url ?? null, work);
}

/** As withDatabase, and no server may run on the DATA_DIR. */
function withIdleDatabase(config: ServerConfig, work: (database: PostgresDatabase) => Promise<void>): Promise<number> {
  return withUrl(config, null, work);
}

async function withUrl(
  config: ServerConfig,
  running: string | null,
  work: (database: PostgresDatabase) => Promise<void>,
): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const url =
    config.databaseUrl?.reveal() ??
    running ??
    stack.use(await startEmbeddedPostgres({ directory: dataPaths(config).directory, logger: silentLogger })).url;
  await work(stack.use(createDatabase({ url, applicationName: 'postrider command', maxConnections: 2 })));
  return 0;
}

export type MigrateOptions = {
  /** A database that can't be reached is tried again until it can. */
  readonly mayWait: boolean;
  readonly print: Print;
};

export function migrateDatabase(config: ServerConfig, { mayWait, print }: MigrateOptions): Promise<number> {
  const onWait = (reason: string): void => print(`waiting: ${reason}`);
  return withDatabase(config, async (database) => {
    const applied = await (mayWait
      ? untilAvailable(() => migrate(database), { signal: new AbortController().signal, onWait })
      : migrate(database));
    print(applied.length === 0 ? 'the schema is up to date' : `applied the migrations ${applied.join(', ')}`);
  });
}

/** To be run before a server starts on a restored database. */
export function afterRestore(config: ServerConfig, print: Print): Promise<number> {
  return withIdleDatabase(config, async (database) => {
    await checkSchema(database);
    print(`raised the UIDVALIDITY of ${await raiseUidValidities(database.db)} mailboxes`);
  });
}

/** While servers run or not. */
export function rebuildSearch(config: ServerConfig, print: Print): Promise<number> {
  return withDatabase(config, async (database) => {
    await checkSchema(database);
    print(`dropped the search index of ${await dropIndex(database.db, null)} accounts; servers fill it again`);
  });
}

/** Prints version, schema and whether a notification sent on one connection is heard on another. */
export function checkDatabase(config: ServerConfig, print: Print): Promise<number> {
  return withDatabase(config, async (database) => {
    await checkSchema(database);
    const listener = await database.connect('check');
    try {
      const { rows } = await listener.query<{ version: string; extensions: string | null }>(
        `select current_setting('server_version') as version,
          (select string_agg(extname || ' ' || extversion, ', ' order by extname) from pg_extension) as extensions`,
      );
      print(`Postgres     ${rows[0]?.version}`);
      print(`extensions   ${rows[0]?.extensions ?? 'none'}`);
      print('schema       up to date');
      print(`notification heard after ${await notificationMs(database, listener)} ms`);
    } finally {
      await listener.end();
    }
  });
}

/** A pooler in transaction mode swallows LISTEN: then this waits in vain. */
async function notificationMs(database: PostgresDatabase, listener: pg.Client): Promise<number> {
  const word = randomUUID();
  await listener.query('listen postrider_check');
  const startedAt = performance.now();
  const heard = once(listener, 'notification', { signal: AbortSignal.timeout(notificationTimeoutMs) });
  await sql`select pg_notify('postrider_check', ${word})`.execute(database.db);
  try {
    await heard;
  } catch (cause) {
    throw new ProgramFault(
      78,
      'a notification was sent and not heard: LISTEN does not work through this DATABASE_URL',
      'Connect to Postgres itself, or to the pooler in session mode; in transaction mode it loses notifications.',
      { cause },
    );
  }
  return Math.round(performance.now() - startedAt);
}
