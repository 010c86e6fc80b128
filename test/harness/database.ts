/** A fresh, migrated database for one test file, on the Postgres that postgres-setup.ts started. */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';
import { templateDatabase } from './postgres-setup.ts';

export interface TestDatabase extends AsyncDisposable {
  readonly url: string;
}

/** `empty`: without any table, for tests of the migrations themselves. */
export async function createTestDatabase(options: { readonly empty?: true } = {}): Promise<TestDatabase> {
  const server = inject('postgresUrl');
  const name = `test_${randomBytes(8).toString('hex')}`;
  await onServer(server, `create database ${name}${options.empty ? '' : ` template ${templateDatabase}`}`);
  const at = new URL(server);
  at.pathname = `/${name}`;
  return {
    url: at.toString(),
    [Symbol.asyncDispose]: () => onServer(server, `drop database ${name} with (force)`),
  };
}

async function onServer(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
