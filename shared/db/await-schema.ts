/** Where something else migrates (a Job in a cluster), programs wait for it instead of ending and being started again. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ProgramFault } from '#shared/base/program-fault.ts';

const everyMs = 1_000;
/** sysexits.h EX_UNAVAILABLE: as of a database that is not there, or lacks migrations. */
const unavailable = 69;

export type AwaitOptions = {
  /** Aborted: no further try; the promise rejects with the signal's reason. */
  readonly signal: AbortSignal;
  /** Hears why it is not there yet, when that changes. */
  readonly onWait: (reason: string) => void;
};

/**
 * Does `work`, again each second while it throws ProgramFault 69: the database can't be reached, or (`checkSchema`)
 * lacks migrations. Any other error is thrown at once.
 */
export async function untilAvailable<T>(work: () => Promise<T>, { signal, onWait }: AwaitOptions): Promise<T> {
  let told: string | null = null;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof ProgramFault && error.exitCode === unavailable)) throw error;
      if (error.message !== told) onWait(error.message);
      told = error.message;
    }
    await sleep(everyMs, undefined, { signal });
  }
}
