/** How much mail waits to be sent, as the status of a MailServer says it: roughly and seldom; the metrics say it exactly. */
import { sql, type Kysely } from 'kysely';
import type { Database } from '#shared/db/schema.ts';
import type { MailServerStatus } from '#operator/api/mail-server.ts';

export type QueueFacts = {
  /** Recipients that mail is still to be sent to; no more than `mostCounted` are counted. */
  readonly waiting: number;
  /** Those that wait for a person: held, or given up on. As `waiting`. */
  readonly held: number;
  /** When the oldest message that waits was taken. */
  readonly oldest: Date | null;
};

type QueueStatus = NonNullable<MailServerStatus['queue']>;

const mostCounted = 10_000;
/** A queue is another one from moment to moment. */
const restMs = 5 * 60_000;

/** Reads few rows, however long the queue is. */
export async function readQueueFacts(db: Kysely<Database>): Promise<QueueFacts> {
  const { rows } = await sql<QueueFacts>`select
      (select count(*)::int from (select from outbound_recipient where state = 'queued' limit ${mostCounted}) r)
        as waiting,
      (select count(*)::int from (select from outbound_recipient where state in ('held', 'dead') limit ${mostCounted}) r)
        as held,
      (select m.accepted_at from outbound_recipient r join outbound_message m on m.id = r.message_id
        where r.state = 'queued' order by r.message_id limit 1) as oldest`.execute(db);
  const [facts] = rows;
  if (!facts) throw new Error('the database said nothing of the queue');
  return facts;
}

/** Pure. What the status says already, as long as it will do. */
export function queueStatus(facts: QueueFacts, before: QueueStatus | undefined, now: Date): QueueStatus {
  const { waiting, held, oldest } = facts;
  const told = { waiting: roughly(waiting), held: roughly(held), ...(oldest && { oldest: instant(oldest) }) };
  if (before) {
    const { observedAt, ...said } = before;
    const isSame = said.waiting === told.waiting && said.held === told.held && said.oldest === told.oldest;
    if (isSame || now.getTime() - Date.parse(observedAt ?? '') < restMs) return before;
  }
  return { ...told, observedAt: instant(now) };
}

/** Two digits. */
function roughly(count: number): number {
  const step = 10 ** Math.max(0, String(count).length - 2);
  return Math.round(count / step) * step;
}

function instant(date: Date): string {
  return `${date.toISOString().slice(0, 19)}Z`;
}
