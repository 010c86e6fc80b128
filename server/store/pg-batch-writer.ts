/** A connection that commits batches, and finds out what became of one when the connection was lost meanwhile. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import type { MailboxId } from '#shared/base/ids.ts';
import type { PostgresDatabase } from '#shared/db/client.ts';
import { isConnectionLoss, isLockTimeout } from '#shared/db/pg-error.ts';
import { queryValue, type ValueStatement } from '#shared/db/value-query.ts';
import { findOutcome } from './batch-outcome.ts';
import { int8Array } from './binary-array.ts';
import { KeptConnection } from './kept-connection.ts';
import {
  encodeBatch,
  isNamed,
  storeBatchStatement,
  type BatchAnswer,
  type BatchItem,
  type BatchJob,
} from './pg-batch.ts';
import { plainBatch } from './pg-plain-batch.ts';
import { singleMessage } from './pg-single-message.ts';

/** Longer than the server's own statement_timeout: then the connection is dead. */
const answerTimeoutMs = 90_000;
/** How long a patient batch stands in the line for an account's lock. */
const lockTimeoutMs = 10_000;
/** No mailbox has it. */
const noMailbox = -1n;

/** Of the session that calls store_batch. */
export const writerSettings = {
  statement_timeout: '60000',
  // The arrays' lengths vary, the plan must not: always by index, one row after the other.
  plan_cache_mode: 'force_generic_plan',
  enable_seqscan: 'off',
  enable_bitmapscan: 'off',
  jit: 'off',
  // Of 4 MB, a batch of messages would be sorted on the disk.
  work_mem: '32MB',
};

export class BatchWriter implements AsyncDisposable {
  readonly #connection: KeptConnection;

  constructor(database: PostgresDatabase) {
    this.#connection = new KeptConnection(database, 'delivery', writerSettings);
  }

  /** Jobs of accounts that others write to are answered as busy. NotCommitted: it is certain that it never will be. */
  commit(jobs: readonly BatchJob[]): Promise<BatchAnswer> {
    return this.#commit(jobs, (client, statement) => query(client, statement));
  }

  /**
   * Waits for one of the accounts that others write to, in the line with them: an account can be handed from one to the
   * next for ever, and who only looks whether it is free finds it taken each time. Holds nothing while it waits. Null:
   * it waited in vain.
   */
  async commitPatiently(jobs: readonly BatchJob[]): Promise<BatchAnswer | null> {
    try {
      return await this.#commit(jobs, async (client, statement) => {
        const busy = await findBusy(client, jobs);
        await client.query('begin');
        try {
          await client.query(`set local lock_timeout = ${lockTimeoutMs}`);
          if (busy !== null) await client.query('select from account_state where account_id = $1 for update', [busy]);
          const answer = await query(client, statement);
          await client.query('commit');
          return answer;
        } catch (error) {
          // Fails where the connection is lost: that is told by the first error.
          await client.query('rollback').catch(() => undefined);
          throw error;
        }
      });
    } catch (error) {
      if (isLockTimeout(error)) return null;
      throw error;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#connection[Symbol.asyncDispose]();
  }

  async #commit(
    jobs: readonly BatchJob[],
    run: (client: pg.Client, statement: ValueStatement) => Promise<BatchAnswer>,
  ): Promise<BatchAnswer> {
    const id = randomUUID();
    const plain = singleMessage(id, jobs) ?? plainBatch(id, jobs);
    const client = await this.#connection.get();
    try {
      try {
        if (plain !== null) return await run(client, plain);
      } catch (error) {
        if (!isNotPlain(error)) throw error;
      }
      return await run(client, { ...storeBatchStatement, values: encodeBatch(id, await withoutNames(client, jobs)) });
    } catch (error) {
      if (!isConnectionLoss(error)) throw error;
      this.#connection.drop(client);
      return await findOutcome<BatchAnswer>(this.#connection, id, error);
    }
  }
}

/** The short form of store_batch raises it, and has done nothing. */
function isNotPlain(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'MR002';
}

async function query(client: pg.Client, statement: ValueStatement): Promise<BatchAnswer> {
  return JSON.parse((await queryValue(client, statement, answerTimeoutMs)) ?? 'null') as BatchAnswer;
}

/** The jobs with the ids of mailboxes that they name. */
async function withoutNames(client: pg.Client, jobs: readonly BatchJob[]): Promise<readonly BatchJob[]> {
  if (!jobs.some(isNamed)) return jobs;
  const idOf = async ({ mailboxName, ...item }: BatchItem): Promise<BatchItem> => {
    if (mailboxName === undefined) return item;
    const { rows } = await client.query<{ id: bigint }>('select id from mailbox where account_id = $1 and name = $2', [
      item.accountId,
      mailboxName,
    ]);
    return { ...item, mailboxId: (rows[0]?.id ?? noMailbox) as MailboxId };
  };
  const identified: BatchJob[] = [];
  for (const job of jobs) identified.push({ ...job, items: await Promise.all(job.items.map(idOf)) });
  return identified;
}

/** One of the accounts that others write to; any, so that one that is held for long does not hold up the rest. */
async function findBusy(client: pg.Client, jobs: readonly BatchJob[]): Promise<string | null> {
  const ids = jobs.flatMap(({ items }) => items.map(({ accountId }) => accountId));
  const { rows } = await client.query<{ id: string }>(
    `with free as (select account_id from account_state where account_id = any ($1::int8[]) for update skip locked)
      select account_id::text as id from account_state
        where account_id = any ($1::int8[]) and account_id not in (select account_id from free) order by random() limit 1`,
    [int8Array(ids)],
  );
  return rows[0]?.id ?? null;
}
