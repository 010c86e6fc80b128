/** Short transactions. Never one that waits for a client: what is written to a socket is read first and committed. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Kysely, Transaction, TransactionBuilder } from 'kysely';
import { classifyPgError, isConnectionLoss } from './pg-error.ts';
import type { Database } from './schema.ts';

const attempts = 6;
/** More would only put off the answer of a database that is down. */
const attemptsToBegin = 3;

/**
 * Runs `work` in one transaction (READ COMMITTED) and resolves after the commit. Runs it again after a deadlock or a
 * serialization failure, so it must have no effect but through `tx`; and where the pool's connection turns out to
 * be dead before it began. Any other error is passed on; after a lost connection (`classifyPgError`) nobody knows
 * whether the commit took place.
 */
export function transact<T>(db: Kysely<Database>, work: Work<T>): Promise<T> {
  return attempt(() => db.transaction(), work);
}

/**
 * As `transact`, for queries that have to see one state of the database (REPEATABLE READ, read only): what others
 * commit meanwhile is in all of their answers, or in none.
 */
export function readSnapshot<T>(db: Kysely<Database>, read: Work<T>): Promise<T> {
  return attempt(() => db.transaction().setIsolationLevel('repeatable read').setAccessMode('read only'), read);
}

type Work<T> = (tx: Transaction<Database>) => Promise<T>;

async function attempt<T>(begin: () => TransactionBuilder<Database>, work: Work<T>): Promise<T> {
  for (let attemptsMade = 1; ; attemptsMade++) {
    let hasBegun = false;
    try {
      return await begin().execute((tx) => {
        hasBegun = true;
        return work(tx);
      });
    } catch (error) {
      const isWorthwhile = hasBegun ? classifyPgError(error).kind === 'serialization' : isConnectionLoss(error);
      if (attemptsMade === (hasBegun ? attempts : attemptsToBegin) || !isWorthwhile) throw error;
    }
    await sleep(retryDelayMs(attemptsMade, Math.random()));
  }
}

/** Doubles from 5 ms with full jitter, so that the same two don't meet again. `random` is in 0 to 1. */
export function retryDelayMs(attempt: number, random: number): number {
  return Math.round(5 * 2 ** attempt * random);
}
