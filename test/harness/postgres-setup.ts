/**
 * One Postgres for all suites of a run: the embedded one, in a temporary folder, or TEST_DATABASE_URL (a
 * superuser's connection string). Its template database is migrated once; each test file clones it.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { pino } from 'pino';
import type { TestProject } from 'vitest/node';
import { createDatabase } from '#shared/db/client.ts';
import { migrate } from '#shared/db/migrate.ts';
import { startEmbeddedPostgres } from '#server/embedded/embedded-postgres.ts';

declare module 'vitest' {
  interface ProvidedContext {
    postgresUrl: string;
  }
}

export const templateDatabase = 'postrider_template';

/** Tests that pull the plug start a Postgres of their own; this one trades durability for speed. */
const fastSettings = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', max_connections: '300' };

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const logger = pino({ level: 'silent' });
  const outside = process.env['TEST_DATABASE_URL'];
  const folder = outside ? null : await mkdtemp(path.join(os.tmpdir(), 'postrider-test-'));
  const server = folder ? await startEmbeddedPostgres({ directory: folder, logger, settings: fastSettings }) : null;
  const url = outside ?? (server as { url: string }).url;
  await makeTemplate(url);
  project.provide('postgresUrl', url);
  return async () => {
    await server?.[Symbol.asyncDispose]();
    if (folder) await rm(folder, { recursive: true, force: true });
  };
}

async function makeTemplate(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(`drop database if exists ${templateDatabase} with (force)`);
    await client.query(`create database ${templateDatabase}`);
  } finally {
    await client.end();
  }
  const at = new URL(url);
  at.pathname = `/${templateDatabase}`;
  await using database = createDatabase({ url: at.toString() });
  await migrate(database);
}
