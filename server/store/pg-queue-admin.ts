/**
 * The outbound queue for administrators: what is in it, and hold, release, retry, cancel and another way. Recipients that a
 * worker has in hand are told to it (`wanted`) and follow when they are given back.
 */
import { sql, type Kysely, type RawBuilder, type Selectable } from 'kysely';
import { unreachable } from '#shared/base/unreachable.ts';
import type { Database } from '#shared/db/schema.ts';
import { transact } from '#shared/db/tx.ts';
import type {
  AttemptFacts,
  NextHopLimits,
  NextHop,
  QueueAction,
  QueueAdministration,
  QueueAttempt,
  QueueFilter,
  QueueId,
  QueueRecipientId,
  QueueRow,
  QueueState,
  QueueStatistics,
} from '#server/mail/outbound-ports.ts';
import { refusing } from './pg-fault.ts';
import { envelopeColumns, toEnvelope, type EnvelopeRow } from './pg-queue-rows.ts';

export type QueueAdminOptions = {
  readonly db: Kysely<Database>;
  /** For a next hop that mail is moved to. */
  readonly limits: (hop: NextHop) => NextHopLimits;
  /** After something has become due. */
  readonly rouse: () => void;
};

const rowsPerTransaction = 1000;
/** Where what is cancelled waits for a worker: nothing is ever sent there. */
const cancelHop: NextHop = { route: 'cancel', domain: null };

type ListRow = {
  readonly message_id: bigint;
  readonly recipient_id: bigint;
  readonly state: QueueState;
  readonly is_leased: boolean;
  readonly sender: string;
  readonly address: string;
  readonly route: string;
  readonly domain: string;
  readonly size: bigint;
  readonly priority: number;
  readonly attempts: number;
  readonly accepted_at: Date;
  readonly due_at: Date;
  readonly expires_at: Date;
  readonly reason: string | null;
};

export function createQueueAdministration(options: QueueAdminOptions): QueueAdministration {
  const { db } = options;
  return {
    async list(filter, after, limit) {
      const { rows } = await refusing(
        sql<ListRow>`select ${listColumns} ${listTables}
          where ${matches(filter)} and r.id > ${after ?? 0n} order by r.id limit ${limit}`.execute(db),
      );
      return rows.map(toQueueRow);
    },
    show: (id) => refusing(show(db, id)),
    act: (filter, action) => act(options, filter, action),
    statistics: () => refusing(readStatistics(db)),
  };
}

const listColumns = sql`m.id as message_id, r.id as recipient_id, r.state, r.lease is not null as is_leased, m.sender,
  r.address, d.route, d.domain, m.size, m.priority, r.attempts, m.accepted_at, r.due_at, m.expires_at, r.reason`;
const listTables = sql`from outbound_recipient r
  join outbound_message m on m.id = r.message_id join outbound_destination d on d.id = r.destination_id`;

function matches(filter: QueueFilter): RawBuilder<boolean> {
  const conditions: RawBuilder<unknown>[] = [sql`true`];
  if (filter.ids) conditions.push(sql`r.message_id = any (${filter.ids}::int8[])`);
  if (filter.state !== undefined) conditions.push(sql`r.state = ${filter.state}`);
  if (filter.recipientDomain !== undefined) conditions.push(sql`r.domain = ${filter.recipientDomain}`);
  if (filter.sender !== undefined) conditions.push(sql`m.sender = ${filter.sender}`);
  if (filter.senderDomain !== undefined) conditions.push(sql`m.domain = ${filter.senderDomain}`);
  if (filter.route !== undefined) conditions.push(sql`d.route = ${filter.route}`);
  if (filter.olderThanSeconds !== undefined) {
    conditions.push(sql`m.accepted_at < now() - make_interval(secs => ${filter.olderThanSeconds})`);
  }
  if (filter.isDeferred === true) conditions.push(sql`r.state = 'queued' and r.attempts > 0`);
  return sql<boolean>`${sql.join(conditions, sql` and `)}`;
}

async function show(db: Kysely<Database>, id: QueueId): ReturnType<QueueAdministration['show']> {
  const message = await sql<EnvelopeRow>`select ${envelopeColumns} from outbound_message m where m.id = ${id}`.execute(
    db,
  );
  const envelope = message.rows[0];
  if (!envelope) return null;
  const rows = await sql<ListRow>`select ${listColumns} ${listTables} where r.message_id = ${id} order by r.id`.execute(
    db,
  );
  const attempts = await sql<AttemptRow>`
    select * from outbound_attempt where message_id = ${id} order by at, recipient_id`.execute(db);
  return {
    envelope: toEnvelope(envelope),
    acceptedAt: envelope.accepted_at,
    rows: rows.rows.map(toQueueRow),
    attempts: attempts.rows.map(toAttempt),
  };
}

async function* act(
  options: QueueAdminOptions,
  filter: QueueFilter,
  action: QueueAction,
): AsyncGenerator<number, void, void> {
  const { db, rouse } = options;
  let changed = 0;
  for (let after = 0n; ;) {
    const from = after;
    const rows = await refusing(transact(db, (tx) => actOnSome(tx, options, filter, action, from)));
    if (rows.length === 0) return;
    after = rows.at(-1)?.id ?? after;
    changed += rows.filter(({ is_changed }) => is_changed).length;
    rouse();
    yield changed;
  }
}

type Changed = { readonly id: bigint; readonly is_changed: boolean };

async function actOnSome(
  tx: Kysely<Database>,
  { limits }: QueueAdminOptions,
  filter: QueueFilter,
  action: QueueAction,
  after: bigint,
): Promise<readonly Changed[]> {
  const hop = action.kind === 'reroute' ? action.hop : action.kind === 'cancel' ? cancelHop : null;
  const target = hop && (await destinationOf(tx, hop, limits(hop)));
  const { rows } = await sql<Changed & { readonly destination_id: bigint }>`
    with found as materialized (
      select r.id, r.lease, ${actsOn(action)} as is_meant ${listTables}
        where ${matches(filter)} and r.id > ${after} order by r.id limit ${rowsPerTransaction} for update of r
    ), changed as (
      update outbound_recipient r set ${changeOf(action, target)} from found f where r.id = f.id and f.is_meant
        returning r.id, r.destination_id
    )
    select f.id, c.id is not null as is_changed, c.destination_id from found f left join changed c on c.id = f.id
      order by f.id`.execute(tx);
  const roused = [...new Set(rows.flatMap((row) => (row.is_changed ? [row.destination_id] : [])))];
  if (roused.length > 0) await sql`select outbound_rouse(${roused}::int8[])`.execute(tx);
  return rows;
}

/** Which of the recipients that match an action is for. */
function actsOn(action: QueueAction): RawBuilder<boolean> {
  switch (action.kind) {
    case 'hold':
      return sql`r.state = 'queued'`;
    case 'release':
      return sql`r.state = 'held' or r.wanted = 'hold'`;
    case 'retry':
      // A dead one is tried as if it were new; what waits for its time is tried now.
      return sql`r.state in ('queued', 'dead', 'captured') and r.lease is null`;
    case 'cancel':
      return sql`true`;
    case 'reroute':
      return sql`r.lease is null`;
    default:
      return unreachable(action);
  }
}

/** RFC 4865: the sender's time holds, whatever else does no more. */
const notBeforeItsTime = sql`greatest(clock_timestamp(), (select m.hold_until from outbound_message m where m.id = r.message_id))`;

function changeOf(action: QueueAction, target: bigint | null): RawBuilder<unknown> {
  switch (action.kind) {
    case 'hold':
      return sql`state = case when f.lease is null then 'held' else r.state end,
        wanted = case when f.lease is null then r.wanted else 'hold' end, reason = ${action.reason}`;
    case 'release':
      return sql`state = 'queued', wanted = nullif(r.wanted, 'hold'),
        due_at = case when f.lease is null then ${notBeforeItsTime} else r.due_at end`;
    case 'retry':
      return sql`due_at = clock_timestamp(), crashes = 0, state = 'queued'`;
    case 'cancel':
      // A worker does it, who tells the sender too, however blocked the next hop is.
      return sql`wanted = ${action.isNotifying ? 'cancel' : 'cancel-quietly'}, state = 'queued',
        destination_id = case when f.lease is null then ${target} else r.destination_id end,
        due_at = case when f.lease is null then clock_timestamp() else r.due_at end`;
    case 'reroute':
      // What is held stays so, whatever its way.
      return sql`destination_id = ${target}, crashes = 0, state = case when r.state = 'held' then 'held' else 'queued' end,
        due_at = ${notBeforeItsTime}`;
    default:
      return unreachable(action);
  }
}

async function destinationOf(tx: Kysely<Database>, hop: NextHop, limits: NextHopLimits): Promise<bigint> {
  const { maxLanes, perMinute } = limits;
  const domain = hop.domain ?? '';
  await sql`insert into outbound_destination (route, domain, max_lanes, bearable, per_minute)
    values (${hop.route}, ${domain}, ${maxLanes}, ${Math.min(maxLanes, 4)}, ${perMinute})
    on conflict (route, domain) do nothing`.execute(tx);
  const { id } = await tx
    .selectFrom('outbound_destination')
    .select('id')
    .where('route', '=', hop.route)
    .where('domain', '=', domain)
    .forKeyShare()
    .executeTakeFirstOrThrow();
  return id;
}

/** All recipients are read, of the messages only the oldest: the smaller number is the older message. */
async function readStatistics(db: Kysely<Database>): Promise<QueueStatistics> {
  const { rows } = await sql<{
    readonly state: QueueState;
    readonly class: number;
    readonly route: string;
    readonly recipients: bigint;
    readonly oldest: number;
  }>`/*queue-statistics*/
    with counted as materialized (
      select state, class, destination_id, count(*) as recipients, min(message_id) as oldest
        from outbound_recipient group by state, class, destination_id
    )
    select c.state, c.class, d.route, sum(c.recipients)::int8 as recipients,
        extract(epoch from now() - min(m.accepted_at))::float8 as oldest
      from counted c
      join outbound_destination d on d.id = c.destination_id join outbound_message m on m.id = c.oldest
      group by c.state, c.class, d.route order by c.state, c.class, d.route`.execute(db);
  return {
    groups: rows.map((row) => ({
      state: row.state,
      priority: (['high', 'normal', 'low'] as const)[row.class] ?? 'normal',
      route: row.route,
      recipients: Number(row.recipients),
      oldestSeconds: row.oldest,
    })),
  };
}

function toQueueRow(row: ListRow): QueueRow {
  return {
    messageId: row.message_id as QueueId,
    recipientId: row.recipient_id as QueueRecipientId,
    state: row.state,
    isLeased: row.is_leased,
    sender: row.sender,
    recipient: row.address,
    hop: { route: row.route, domain: row.domain === '' ? null : row.domain },
    size: Number(row.size),
    priority: row.priority,
    attempts: row.attempts,
    acceptedAt: row.accepted_at,
    dueAt: row.state === 'queued' ? row.due_at : null,
    expiresAt: row.expires_at,
    reason: row.reason,
  };
}

type AttemptRow = Selectable<Database['outbound_attempt']>;

function toAttempt(row: AttemptRow): QueueAttempt {
  return {
    recipientId: row.recipient_id as QueueRecipientId,
    recipient: row.address,
    at: row.at,
    attempt: row.attempt,
    outcome: row.outcome as QueueAttempt['outcome'],
    category: row.category,
    isUncertain: row.uncertain,
    isStale: row.stale,
    facts: row.ms === null ? null : toFacts(row, row.ms),
  };
}

function toFacts(row: AttemptRow, ms: number): AttemptFacts {
  const { tls_policy: policy } = row;
  return {
    reply: { code: row.code, status: row.status, text: row.reply ?? '' },
    host: row.host,
    address: row.host_address,
    sourceAddress: row.source_address,
    tls:
      policy === null
        ? null
        : {
            version: row.tls_version,
            cipher: row.tls_cipher,
            policy: policy as NonNullable<AttemptFacts['tls']>['policy'],
            isVerified: row.tls_verified === true,
            result: row.tls_result ?? 'none',
          },
    ms,
    isUncertain: row.uncertain,
  };
}
