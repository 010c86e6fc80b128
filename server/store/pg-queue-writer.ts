/**
 * A connection that writes accepted mail: what goes out, and in the same transaction what is stored here and what it
 * settles in the queue. Finds out what became of a transaction whose connection was lost meanwhile.
 */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import type { PostgresDatabase } from '#shared/db/client.ts';
import { isConnectionLoss } from '#shared/db/pg-error.ts';
import type { QueueId } from '#server/mail/outbound-ports.ts';
import { MailError } from '#server/mail/mail-error.ts';
import { findOutcome } from './batch-outcome.ts';
import { int8Array } from './binary-array.ts';
import { KeptConnection } from './kept-connection.ts';
import {
  decodeAnswer,
  encodeBatch,
  storeBatchStatement,
  type BatchAnswer,
  type BatchJob,
  type Stored,
} from './pg-batch.ts';
import { writerSettings } from './pg-batch-writer.ts';
import type { EncodedOutbound } from './pg-queue-encode.ts';
import { settleStatement, type EncodedSettlements } from './pg-queue-rows.ts';

const answerTimeoutMs = 90_000;
/** How long an account that somebody else writes to is waited for. */
const lockTimeoutMs = 10_000;

/** Of one transaction. */
export type Together = {
  /** Copies for accounts here. */
  readonly local: BatchJob | null;
  readonly outbound: EncodedOutbound | null;
  readonly settlements: EncodedSettlements | null;
  /** Recipients that stay in hand, each with the number of the delay notice that is sent. */
  readonly delays: readonly { readonly recipient: bigint; readonly token: bigint; readonly notice: number }[];
};

export type Written =
  | { readonly kind: 'done'; readonly stored: readonly Stored[]; readonly queued: readonly QueueId[] }
  | { readonly kind: 'blob-gone' }
  /** A recipient was not in hand, or its notice had been sent. */
  | { readonly kind: 'stale' };

type Answer = { readonly stored: BatchAnswer | null; readonly queued: readonly number[] | null };

export class QueueWriter implements AsyncDisposable {
  readonly #connection: KeptConnection;

  constructor(database: PostgresDatabase, purpose: string) {
    this.#connection = new KeptConnection(database, purpose, writerSettings);
  }

  /** The messages' ids, or null: a blob is gone. NotCommitted: it is certain that it never will be. One call at a time. */
  async enqueue(outbound: EncodedOutbound): Promise<readonly QueueId[] | null> {
    const id = randomUUID();
    const ids = await this.#commit(id, (client) => enqueue(client, id, outbound));
    return ids && ids.map((each) => BigInt(each) as QueueId);
  }

  /** All of it or, where it refuses or rejects, nothing. One call at a time. */
  async together(work: Together): Promise<Written> {
    const id = randomUUID();
    try {
      const answer = await this.#commit(id, (client) => inTransaction(client, () => writeAll(client, id, work)));
      return {
        kind: 'done',
        stored: storedOf(work, answer),
        queued: (answer.queued ?? []).map((each) => BigInt(each) as QueueId),
      };
    } catch (error) {
      if (error instanceof Refused) return { kind: error.kind };
      throw error;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#connection[Symbol.asyncDispose]();
  }

  async #commit<T>(id: string, run: (client: pg.Client) => Promise<T>): Promise<T> {
    const client = await this.#connection.get();
    try {
      return await run(client);
    } catch (error) {
      if (!isConnectionLoss(error)) throw error;
      this.#connection.drop(client);
      return await findOutcome<T>(this.#connection, id, error);
    }
  }
}

/** Ends the transaction: nothing was written. */
class Refused extends Error {
  readonly kind: 'blob-gone' | 'stale';

  constructor(kind: 'blob-gone' | 'stale') {
    super(kind);
    this.kind = kind;
  }
}

async function inTransaction<T>(client: pg.Client, work: () => Promise<T>): Promise<T> {
  await client.query('begin');
  try {
    await client.query(`set local lock_timeout = ${lockTimeoutMs}`);
    const result = await work();
    await client.query('commit');
    return result;
  } catch (error) {
    // Fails where the connection is lost: that is told by the first error.
    await client.query('rollback').catch(() => undefined);
    throw error;
  }
}

async function writeAll(client: pg.Client, id: string, work: Together): Promise<Answer> {
  const { local, outbound, settlements, delays } = work;
  await client.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [id]);
  if (delays.length > 0) await markDelays(client, delays);
  const stored = local && (await storeLocal(client, local));
  // Refuses in time for the rollback.
  if (local && stored) outcomeOf(local, stored);
  const queued = outbound && (await enqueue(client, null, outbound));
  if (outbound !== null && queued === null) throw new Refused('blob-gone');
  if (settlements !== null) {
    const { rows } = await client.query<{ stale: readonly bigint[] | null }>({
      ...settleStatement,
      values: [...settlements],
    });
    if (rows[0]?.stale) throw new Refused('stale');
  }
  const answer: Answer = { stored, queued };
  await client.query('insert into delivery_batch (id, result) values ($1, $2)', [id, JSON.stringify(answer)]);
  return answer;
}

/** The accounts are locked before, in the order of their ids, so that none is busy. */
async function storeLocal(client: pg.Client, job: BatchJob): Promise<BatchAnswer> {
  const accounts = int8Array(job.items.map(({ accountId }) => accountId));
  await client.query('select from account_state where account_id = any ($1::int8[]) order by account_id for update', [
    accounts,
  ]);
  const { rows } = await client.query<{ result: BatchAnswer }>({
    ...storeBatchStatement,
    values: [...encodeBatch(randomUUID(), [job])],
    query_timeout: answerTimeoutMs,
  } as pg.QueryConfig);
  return rows[0]?.result ?? [];
}

async function enqueue(
  client: pg.Client,
  id: string | null,
  outbound: EncodedOutbound,
): Promise<readonly number[] | null> {
  const { rows } = await client.query<{ result: readonly number[] | null }>({
    name: 'outbound-enqueue',
    text: 'select outbound_enqueue($1::uuid, $2::bytea[], $3::int8[], $4::bytea[], $5::bytea[], $6::jsonb, $7::jsonb, $8::jsonb) as result',
    values: [id, ...outbound],
    query_timeout: answerTimeoutMs,
  } as pg.QueryConfig);
  return rows[0]?.result ?? null;
}

async function markDelays(client: pg.Client, delays: Together['delays']): Promise<void> {
  const { rowCount } = await client.query(
    `update outbound_recipient r set delay_notices = d.notice
      from unnest($1::int8[], $2::int8[], $3::int4[]) d (id, token, notice)
      where r.id = d.id and r.lease = d.token and r.delay_notices < d.notice`,
    [delays.map((each) => each.recipient), delays.map((each) => each.token), delays.map((each) => each.notice)],
  );
  if (rowCount !== delays.length) throw new Refused('stale');
}

function storedOf({ local }: Together, { stored }: Answer): readonly Stored[] {
  return local && stored ? outcomeOf(local, stored) : [];
}

function outcomeOf(job: BatchJob, answer: BatchAnswer): readonly Stored[] {
  const [outcome] = decodeAnswer([job], answer);
  if (outcome instanceof MailError) throw outcome;
  if (outcome === 'blob-gone') throw new Refused('blob-gone');
  // Its accounts are locked, so none is busy.
  if (outcome === undefined || outcome === 'busy') throw new MailError({ kind: 'unavailable' });
  return outcome;
}
