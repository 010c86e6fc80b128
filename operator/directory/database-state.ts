/** Whether the database can be worked with, in the words of conditions. */
import { ProgramFault } from '#shared/base/program-fault.ts';
import { classifyPgError } from '#shared/db/pg-error.ts';
import type { ConditionReport } from '#operator/status/condition.ts';

export type DatabaseTrouble = Pick<ConditionReport, 'status' | 'reason' | 'message'>;

/** sysexits.h EX_UNAVAILABLE: `checkSchema` says so of a database that is away, or lacks migrations. */
const unavailable = 69;

/** What an error says of the database; null: it says nothing of it. */
export function databaseTrouble(error: unknown): DatabaseTrouble | null {
  if (error instanceof ProgramFault) return null;
  switch (classifyPgError(error).kind) {
    case 'unavailable':
      return away('the database does not answer; it is tried again');
    case 'disk-full':
      return away('the disk of the database is full; it is tried again');
    default:
      return null;
  }
}

/** What `checkSchema` says. */
export function schemaTrouble({ exitCode, message, cause }: ProgramFault): DatabaseTrouble {
  if (exitCode !== unavailable) return { status: 'False', reason: 'DatabaseSchemaTooNew', message };
  if (cause === undefined) return { status: 'False', reason: 'DatabaseSchemaTooOld', message };
  return databaseTrouble(cause) ?? away(message);
}

export function keyringTrouble({ message }: ProgramFault): DatabaseTrouble {
  return { status: 'False', reason: 'KeyringUnusable', message };
}

function away(message: string): DatabaseTrouble {
  return { status: 'Unknown', reason: 'DatabaseUnavailable', message };
}
