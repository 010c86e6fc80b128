/** Counts of outbound TLS sessions for reports (RFC 8460), gathered in memory and added to the day's rows. */
import { createHash } from 'node:crypto';
import { sql, type Kysely } from 'kysely';
import type { Clock } from '#shared/base/clock.ts';
import type { Database } from '#shared/db/schema.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { TlsReportStore, TlsSession } from '#server/mail/outbound-routes.ts';
import { Rereading } from './rereading.ts';

/** Kinds of sessions held between two writes; beyond them sessions are not counted. */
const maxKinds = 20_000;
/** Rows of one statement. */
const rowsAtOnce = 500;
/** RFC 8460 section 4.1: a report is sent within a day; two weeks are for people who look. */
const keptDays = 14;

export type PgTlsSessionsOptions = {
  readonly db: Kysely<Database>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Between two writes, in ms; 10 s unless told. */
  readonly everyMs?: number;
};

export interface PgTlsSessions extends TlsReportStore, AsyncDisposable {
  /** Writes what was counted. */
  flush(): Promise<void>;
}

type Counted = { readonly day: string; readonly session: TlsSession; sessions: number };

export async function openPgTlsSessions(options: PgTlsSessionsOptions): Promise<PgTlsSessions> {
  const counts = new TlsSessionCounts(options);
  const rereading = new Rereading({
    what: 'counts of TLS sessions',
    logger: options.logger,
    everyMs: options.everyMs ?? 10_000,
    read: () => counts.flush(),
  });
  await rereading.start();
  return {
    record: (session) => counts.record(session),
    flush: () => counts.flush(),
    [Symbol.asyncDispose]: async () => {
      await rereading[Symbol.asyncDispose]();
      await counts.flush().catch((error: unknown) => {
        options.logger.warn(
          { event: 'tls-report.lost', err: error },
          'the last counts of TLS sessions were not written',
        );
      });
    },
  };
}

class TlsSessionCounts {
  readonly #options: PgTlsSessionsOptions;
  #counts = new Map<string, Counted>();
  #sweptOn = '';

  constructor(options: PgTlsSessionsOptions) {
    this.#options = options;
  }

  record(given: TlsSession): void {
    const day = this.#options.clock.now().toISOString().slice(0, 10);
    // Of successes only their number is reported (RFC 8460 section 4.3).
    const session =
      given.result === 'success' ? { ...given, receivingMx: '', receivingAddress: null, sendingAddress: null } : given;
    const key = `${day} ${JSON.stringify(session)}`;
    const counted = this.#counts.get(key);
    if (counted) counted.sessions += 1;
    else if (this.#counts.size < maxKinds) this.#counts.set(key, { day, session, sessions: 1 });
  }

  async flush(): Promise<void> {
    const { db, clock } = this.#options;
    const all = [...this.#counts];
    for (let at = 0; at < all.length; at += rowsAtOnce) {
      const rows = all.slice(at, at + rowsAtOnce);
      // Taken out first, put back where the write fails: what is counted meanwhile adds to it.
      for (const [key] of rows) this.#counts.delete(key);
      try {
        await db
          .insertInto('tls_session_count')
          .values(rows.map(([, counted]) => toRow(counted)))
          .onConflict((conflict) =>
            conflict.columns(['day', 'key']).doUpdateSet({
              sessions: sql<bigint>`tls_session_count.sessions + excluded.sessions`,
            }),
          )
          .execute();
      } catch (error) {
        this.#putBack(rows);
        throw error;
      }
    }
    const today = clock.now().toISOString().slice(0, 10);
    if (this.#sweptOn === today) return;
    await db
      .deleteFrom('tls_session_count')
      .where('day', '<', sql<string>`${today}::date - ${keptDays}::integer`)
      .execute();
    this.#sweptOn = today;
  }

  #putBack(rows: readonly (readonly [string, Counted])[]): void {
    for (const [key, counted] of rows) {
      const newer = this.#counts.get(key);
      if (newer) newer.sessions += counted.sessions;
      else this.#counts.set(key, counted);
    }
  }
}

function toRow({ day, session, sessions }: Counted) {
  return {
    day,
    key: createHash('sha256').update(JSON.stringify(session)).digest(),
    policy_domain: session.policyDomain,
    policy_type: session.policyType,
    policy_strings: session.policyStrings,
    policy_mx: session.policyMx,
    result: session.result,
    receiving_mx: session.receivingMx,
    receiving_address: session.receivingAddress ?? '',
    sending_address: session.sendingAddress ?? '',
    sessions: BigInt(sessions),
  };
}
