/** Bounds of routes that have changed, brought to the next hops that the queue knows already. */
import { sql, type Kysely } from 'kysely';
import type { Database } from '#shared/db/schema.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { Route, RouteSource } from '#server/mail/outbound-routes.ts';
import { int4Array, textArray } from './binary-array.ts';
import { Rereading } from './rereading.ts';

export type RouteLimits = Pick<Route, 'name' | 'maxConnections' | 'messagesPerMinute'>;

export type QueueLimitsOptions = {
  readonly db: Kysely<Database>;
  readonly source: RouteSource;
  readonly logger: Logger;
  /** Between two looks at the routes, in ms; 10 s unless told. */
  readonly everyMs?: number;
};

/** Others may have written a next hop with the bounds that they still knew. */
const againMs = 60_000;

/** Resolves when it has been done once. Lanes above a lower bound end with their present batch. */
export async function openQueueLimits(options: QueueLimitsOptions): Promise<AsyncDisposable> {
  const { db, source, logger, everyMs = 10_000 } = options;
  let written = '';
  let writtenAt = -Infinity;
  const rereading = new Rereading({
    what: 'limits of next hops',
    logger,
    everyMs,
    read: async () => {
      const limits = source.routes.map(({ name, maxConnections, messagesPerMinute }) => ({
        name,
        maxConnections,
        messagesPerMinute,
      }));
      const now = JSON.stringify(limits);
      if (now === written && performance.now() - writtenAt < againMs) return;
      const changed = await writeLimits(db, limits);
      if (changed > 0)
        logger.info({ event: 'queue.limits-changed', changed }, 'next hops have the bounds of their routes');
      written = now;
      writtenAt = performance.now();
    },
  });
  await rereading.start();
  return rereading;
}

/** Resolves with the number of next hops whose bounds were others. */
export async function writeLimits(db: Kysely<Database>, limits: readonly RouteLimits[]): Promise<number> {
  if (limits.length === 0) return 0;
  // What waited for its turn under the old pace is looked at now.
  const { numAffectedRows } = await sql`/*queue-limits*/
    with changed as materialized (
      select d.id, w.max_lanes, w.per_minute from outbound_destination d
        join unnest(${textArray(limits.map(({ name }) => name))}::text[],
          ${int4Array(limits.map(({ maxConnections }) => maxConnections))}::int4[],
          ${int4Array(limits.map(({ messagesPerMinute }) => messagesPerMinute))}::int4[]) w (route, max_lanes, per_minute)
          on w.route = d.route
        where (d.max_lanes, d.per_minute) is distinct from (w.max_lanes::int2, w.per_minute)
        order by d.id for no key update of d
    )
    update outbound_destination d
      set max_lanes = c.max_lanes, per_minute = c.per_minute, rate_at = case when c.per_minute is not null then d.rate_at end,
          next_due = case when d.next_due is not null then least(d.next_due, greatest(now(), d.blocked_until)) end
      from changed c where d.id = c.id`.execute(db);
  return Number(numAffectedRows ?? 0n);
}
