/** Short transactions. Never one that waits for a client: what is written to a socket is read first and committed. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Kysely, Transaction } from 'kysely';
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
export async function transact<T>(db: Kysely<Database>, work: (tx: Transaction<Database>) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    let hasBegun = false;
    try {
      return await db.transaction().execute((tx) => {
        hasBegun = true;
        return work(tx);
      });
    } catch (error) {
      const isWorthwhile = hasBegun ? classifyPgError(error).kind === 'serialization' : isConnectionLoss(error);
      if (attempt === (hasBegun ? attempts : attemptsToBegin) || !isWorthwhile) throw error;
    }
    await sleep(retryDelayMs(attempt, Math.random()));
  }
}

/** Doubles from 5 ms with full jitter, so that the same two don't meet again. `random` is in 0 to 1. */
export function retryDelayMs(attempt: number, random: number): number {
  return Math.round(5 * 2 ** attempt * random);
}
