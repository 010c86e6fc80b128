/** What became of a batch whose connection was lost while it was committed (delivery_batch, 0002-mail.sql). */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { classifyPgError } from '#shared/db/pg-error.ts';
import type { KeptConnection } from './kept-connection.ts';

/** How long the outcome of a batch is looked for after its connection was lost. */
const outcomeDeadlineMs = 10_000;

/** The connection was lost and the batch is certain not to be committed. */
export class NotCommitted extends Error {
  constructor(cause: unknown) {
    super('the batch was not committed', { cause });
  }
}

/**
 * The batch's answer; NotCommitted: it is not committed and can't be any more. Waits for the old backend: the batch
 * holds an advisory lock. Should the server get to read the statement only after us, its insert into delivery_batch
 * fails on the row put here. Rejects with `lost` where nobody can say.
 */
export async function findOutcome<T>(connection: KeptConnection, id: string, lost: unknown): Promise<T> {
  const deadline = performance.now() + outcomeDeadlineMs;
  for (let attempt = 1; ; attempt++) {
    let client: pg.Client | null = null;
    try {
      client = await connection.get();
      const answer = await readOutcome<T>(client, id);
      if (answer === null) throw new NotCommitted(lost);
      return answer;
    } catch (error) {
      if (error instanceof NotCommitted) throw error;
      if (client) connection.drop(client);
      if (classifyPgError(error).kind !== 'unavailable') throw error;
      if (performance.now() > deadline) throw lost;
    }
    await sleep(Math.min(1000, 20 * 2 ** attempt));
  }
}

async function readOutcome<T>(client: pg.Client, id: string): Promise<T | null> {
  await client.query('begin');
  await client.query(`set local statement_timeout = ${outcomeDeadlineMs}`);
  await client.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [id]);
  await client.query('insert into delivery_batch (id) values ($1) on conflict do nothing', [id]);
  const { rows } = await client.query<{ result: T | null }>('select result from delivery_batch where id = $1', [id]);
  await client.query('commit');
  return rows[0]?.result ?? null;
}
