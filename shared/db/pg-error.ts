/** SQLSTATEs and socket errors, put into the few kinds that callers tell apart. The only place that knows them. */

/** Why a statement failed. `other`: a bug of ours, or a database that was changed by hand. */
export type PgFault =
  /** The database can't be reached, is starting, stopping, read-only or too busy: come again later. */
  | {
      readonly kind: 'unavailable';
      /** The outcome of what was running is not known. */ readonly isConnectionLost: boolean;
    }
  /** Its disk is full: reading goes on. */
  | { readonly kind: 'disk-full' }
  | { readonly kind: 'unique-violation'; readonly constraint: string }
  /** Two transactions were in each other's way: the same again may succeed. */
  | { readonly kind: 'serialization' }
  | { readonly kind: 'other' };

const later: PgFault = { kind: 'unavailable', isConnectionLost: false };
const lost: PgFault = { kind: 'unavailable', isConnectionLost: true };

const bySqlState: Readonly<Record<string, PgFault>> = {
  '25006': later, // read_only_sql_transaction: we are on a standby, a failover is under way
  '40001': { kind: 'serialization' },
  '40P01': { kind: 'serialization' }, // deadlock_detected
  '53000': later,
  '53100': { kind: 'disk-full' },
  '53200': later, // out_of_memory
  '53300': later, // too_many_connections
  '53400': later,
  '55P03': later, // lock_not_available
  '57014': later, // query_canceled: statement_timeout
  '57P01': lost, // admin_shutdown
  '57P02': lost, // crash_shutdown
  '57P03': later, // cannot_connect_now
  '57P05': lost, // idle_session_timeout
  '25P03': lost, // idle_in_transaction_session_timeout
  '58030': { kind: 'disk-full' }, // io_error: a disk that fails is no better than a full one
};

const socketErrors: ReadonlySet<string> = new Set([
  'EAI_AGAIN',
  'ECONNABORTED',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
  'ENOTFOUND',
  'EPIPE',
  'ETIMEDOUT',
]);

/** node-pg gives its own errors no code, so here alone they are known by their words. */
const driverErrors =
  /^(?:Connection terminated|Client was closed|Client has encountered a connection error|timeout expired|timeout exceeded when trying to connect|Query read timeout|Cannot use a pool after calling end|The server does not support|Connection ended)/;

export function classifyPgError(error: unknown): PgFault {
  if (!(error instanceof Error)) return { kind: 'other' };
  if (error instanceof AggregateError && error.errors.length > 0) return classifyPgError(error.errors[0]);
  const code = codeOf(error);
  if (code === null) return driverErrors.test(error.message) ? lost : { kind: 'other' };
  if (code === 'ENOSPC') return { kind: 'disk-full' };
  // "Connection refused by a socket that isn't there" comes as ENOENT with the call that failed.
  if (socketErrors.has(code)) return code === 'ENOENT' && !('syscall' in error) ? { kind: 'other' } : lost;
  if (code === '23505') return { kind: 'unique-violation', constraint: constraintOf(error) };
  if (code.startsWith('08')) return lost;
  return bySqlState[code] ?? { kind: 'other' };
}

export function isConnectionLoss(error: unknown): boolean {
  const fault = classifyPgError(error);
  return fault.kind === 'unavailable' && fault.isConnectionLost;
}

/** What was to be written breaks a rule of the schema (class 23) or fits no column (class 22): the same again fails too. */
export function isRowFault(error: unknown): boolean {
  return error instanceof Error && /^2[23]/.test(codeOf(error) ?? '');
}

/** Somebody else held a lock for longer than lock_timeout. */
export function isLockTimeout(error: unknown): boolean {
  return error instanceof Error && codeOf(error) === '55P03';
}

function codeOf(error: Error): string | null {
  return 'code' in error && typeof error.code === 'string' ? error.code : null;
}

function constraintOf(error: Error): string {
  return 'constraint' in error && typeof error.constraint === 'string' ? error.constraint : '';
}
