/**
 * The outbound queue on Postgres, for one worker process. The SQL functions of 0006-outbound-queue.sql and
 * 0014-outbound-queue-speed.sql do each step in one statement; here they get their arguments, and rows become the port's types.
 */
import { randomUUID } from 'node:crypto';
import { CompiledQuery, sql } from 'kysely';
import type { PostgresDatabase } from '#shared/db/client.ts';
import type { Accepted, QueueRecipientId } from '#server/mail/outbound-ports.ts';
import type {
  InHand,
  LaneBatch,
  LaneReport,
  LaneToken,
  NoticeMail,
  OutboundQueue,
  QueueLane,
  Settlement,
} from '#server/mail/outbound-queue.ts';
import { refusing } from './pg-fault.ts';
import type { QueueAcceptor } from './pg-queue-acceptor.ts';
import { work, type Work, type WorkedLane } from './pg-queue-claims.ts';
import { encodeFinish, finishStatement } from './pg-queue-finish.ts';
import { encodeSettlements, settleStatement } from './pg-queue-rows.ts';

export type PgOutboundQueueOptions = {
  readonly database: PostgresDatabase;
  readonly acceptor: QueueAcceptor;
  /** How long a worker that is not heard of keeps what it has in hand. */
  readonly leaseSeconds: number;
  /** Workers lost with a recipient until it is dead. */
  readonly mostCrashes: number;
};

/** Next hops that are due for longer than the last look that found them all are looked for now and then only. */
const fullLookMs = 10_000;
/** What is committed late is due for longer than we know. */
const lateSeconds = 5;
const always = 1e9;

export class PgOutboundQueue implements OutboundQueue {
  readonly #options: PgOutboundQueueOptions;
  #worker: string = randomUUID();
  /** By the monotonic clock: the last look at all next hops, and the last that left none over. */
  #fullLookAt = -Infinity;
  #exhaustedAt = -Infinity;

  constructor(options: PgOutboundQueueOptions) {
    this.#options = options;
  }

  async enter(name: string): Promise<void> {
    const { database, leaseSeconds } = this.#options;
    this.#worker = randomUUID();
    await refusing(
      sql`insert into outbound_worker (id, name, alive_until)
        values (${this.#worker}, ${name}, now() + make_interval(secs => ${leaseSeconds}))`.execute(database.db),
    );
  }

  async heartbeat(): Promise<boolean> {
    const { database, leaseSeconds } = this.#options;
    const { numAffectedRows } = await refusing(
      sql`update outbound_worker set alive_until = now() + make_interval(secs => ${leaseSeconds})
        where id = ${this.#worker}`.execute(database.db),
    );
    return numAffectedRows === 1n;
  }

  async leave(): Promise<void> {
    await refusing(sql`delete from outbound_worker where id = ${this.#worker}`.execute(this.#options.database.db));
  }

  async claim(lanes: number, rows: number): Promise<readonly LaneBatch[]> {
    const at = performance.now();
    const isFull = at - this.#fullLookAt > fullLookMs;
    const seconds = isFull ? always : (at - this.#exhaustedAt) / 1000 + lateSeconds;
    const looked = await this.#work({ lanes, rows, sinceSeconds: Math.min(seconds, always), old: [] });
    if (isFull) this.#fullLookAt = at;
    if (looked.length < lanes) this.#exhaustedAt = at;
    return looked.filter(({ taken }) => taken > 0).map(({ batch }) => batch);
  }

  async next(lanes: readonly QueueLane[], rows: number): Promise<ReadonlyMap<LaneToken, LaneBatch>> {
    const worked = await this.#work({ lanes: 0, rows, sinceSeconds: 0, old: lanes });
    return new Map(worked.flatMap(({ old, batch }) => (old === null ? [] : [[old, batch]])));
  }

  async giveBack(reports: readonly LaneReport[]): Promise<void> {
    const lanes = reports.map(({ lane }) => lane);
    await refusing(
      sql`/*outbound-leave*/ select outbound_leave(${this.#worker}, ${lanes.map(({ token }) => token)}::int8[],
        ${marksOf(lanes, 0)}::timestamptz[], ${marksOf(lanes, 1)}::timestamptz[], ${marksOf(lanes, 2)}::timestamptz[],
        ${reports.map(({ rise }) => rise)}::real[], ${reports.map(({ fall }) => fall)}::real[],
        ${reports.map(({ blockedMs }) => blockedMs)}::int8[], ${reports.map(({ reason }) => reason)}::text[],
        ${reports.map(({ isSettled }) => isSettled)}::bool[], ${this.#options.mostCrashes})`.execute(
        this.#options.database.db,
      ),
    );
  }

  async settle(settlements: readonly Settlement[]): Promise<ReadonlySet<QueueRecipientId>> {
    const finish = encodeFinish(settlements);
    if (finish === null) return this.#settleEach(settlements);
    const query = CompiledQuery.raw(finishStatement, [...finish.values]);
    const { rows } = await refusing(
      this.#options.database.db.executeQuery<{ readonly others: readonly bigint[] | null }>(query),
    );
    const changed = new Set(rows[0]?.others ?? []);
    const left = changed.size === 0 ? [] : settlements.filter(({ inHand }) => changed.has(inHand.recipient.id));
    return this.#settleEach([...finish.others, ...left]);
  }

  settleWithNotice(settlements: readonly Settlement[], notice: NoticeMail): Promise<Accepted | null> {
    return this.#options.acceptor.acceptAndSettle(notice.message, notice.deliveries, notice.outbound, {
      settlements: encodeSettlements(settlements, { isStrict: true }),
      delays: [],
    });
  }

  tellDelay(recipients: readonly InHand[], number: number, notice: NoticeMail): Promise<Accepted | null> {
    return this.#options.acceptor.acceptAndSettle(notice.message, notice.deliveries, notice.outbound, {
      settlements: null,
      delays: recipients.map(({ recipient, token }) => ({ recipient: recipient.id, token, notice: number })),
    });
  }

  async disown(known: readonly LaneToken[]): Promise<number> {
    const { rows } = await refusing(
      sql<{ readonly lanes: number }>`select outbound_disown(${this.#worker}, ${known}::int8[]) as lanes`.execute(
        this.#options.database.db,
      ),
    );
    return rows[0]?.lanes ?? 0;
  }

  async reap(): Promise<number> {
    const { database, leaseSeconds, mostCrashes } = this.#options;
    const { rows } = await refusing(
      sql<{ readonly lanes: number }>`select outbound_reap(${leaseSeconds}, ${mostCrashes}) as lanes`.execute(
        database.db,
      ),
    );
    return rows[0]?.lanes ?? 0;
  }

  #work(wanted: Omit<Work, 'worker'>): Promise<readonly WorkedLane[]> {
    return refusing(work(this.#options.database.db, { worker: this.#worker, ...wanted }));
  }

  async #settleEach(settlements: readonly Settlement[]): Promise<ReadonlySet<QueueRecipientId>> {
    if (settlements.length === 0) return new Set();
    const query = CompiledQuery.raw(settleStatement.text, [...encodeSettlements(settlements, { isStrict: false })]);
    const { rows } = await refusing(
      this.#options.database.db.executeQuery<{ readonly stale: readonly bigint[] | null }>(query),
    );
    return new Set((rows[0]?.stale ?? []) as QueueRecipientId[]);
  }
}

function marksOf(lanes: readonly QueueLane[], at: 0 | 1 | 2): readonly string[] {
  return lanes.map(({ marks }) => marks[at]);
}
