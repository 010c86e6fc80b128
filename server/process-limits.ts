/** What a server needs of its surroundings, told at the start: better than the first refused connection at noon. */
import { readFile } from 'node:fs/promises';
import { sql } from 'kysely';
import type { ServerConfig } from '#shared/config/server-config.ts';
import type { PostgresDatabase } from '#shared/db/client.ts';
import type { Logger } from '#shared/observe/logger.ts';
import { planListeners } from './listener-plan.ts';
import { connectionBudget } from './processes/division.ts';

/** Files beside connections: spool files, the log, libraries, certificates. */
const otherFiles = 200;

export async function tellLimits(config: ServerConfig, database: PostgresDatabase, logger: Logger): Promise<void> {
  await tellFiles(config, logger);
  await tellDatabaseConnections(config, database, logger);
}

async function tellFiles(config: ServerConfig, logger: Logger): Promise<void> {
  const limit = await openFilesLimit();
  const listeners = planListeners(config).filter(({ name }) => name !== 'http' && name !== 'acme').length;
  const needed = listeners * config.maxConnections + config.databasePoolSize + otherFiles;
  if (limit === null || limit >= needed) return;
  logger.warn(
    { event: 'server.few-files', limit, needed, listeners, maxConnections: config.maxConnections },
    `a process may open ${limit} files, and ${listeners} listeners of MAX_CONNECTIONS=${config.maxConnections} need ` +
      `${needed}: connections beyond are refused; raise the limit (ulimit -n, LimitNOFILE) or lower MAX_CONNECTIONS`,
  );
}

/** RLIMIT_NOFILE; null: unlimited, or no Linux. Node raises the soft limit to the hard one when it starts. */
async function openFilesLimit(): Promise<number | null> {
  const limits = await readFile('/proc/self/limits', 'utf8').catch(() => '');
  const soft = /^Max open files +(\d+)/m.exec(limits)?.[1];
  return soft === undefined ? null : Number(soft);
}

async function tellDatabaseConnections(config: ServerConfig, { db }: PostgresDatabase, logger: Logger): Promise<void> {
  const { rows } = await sql<{ available: number }>`
    select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int as available
  `.execute(db);
  const available = rows[0]?.available ?? 0;
  const needed = connectionBudget(config);
  const { processes, databasePoolSize } = config;
  const facts = { event: 'db.budget', needed, available, processes, databasePoolSize };
  if (needed <= available) return logger.info(facts, 'database connections of all processes at most');
  logger.warn(
    facts,
    `all processes together may open ${needed} database connections and the database has ${available}: lower ` +
      'DATABASE_POOL_SIZE or PROCESSES, or raise max_connections',
  );
}
