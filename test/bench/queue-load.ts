/**
 * The outbound queue filled and worked off, in a database of its own beside the server's: nine of ten recipients are due at
 * one next hop that is blocked, each of the others has a message of its own, a snapshot is held open from before the first
 * claim, attempts are written.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { sql } from 'kysely';
import { systemClock } from '#shared/base/clock.ts';
import { createDatabase, type PostgresDatabase } from '#shared/db/client.ts';
import { migrate } from '#shared/db/migrate.ts';
import type { AttemptFacts, Router } from '#server/mail/outbound-ports.ts';
import type { LaneBatch } from '#server/mail/outbound-queue.ts';
import { PgMailStore } from '#server/store/pg-mail-store.ts';
import { QueueAcceptor } from '#server/store/pg-queue-acceptor.ts';
import { PgOutboundQueue } from '#server/store/pg-queue.ts';
import { percentile } from './statistics.ts';

export type QueueLoad = {
  readonly rows: number;
  readonly workers: number;
  /** Next hops that are not blocked. */
  readonly destinations: number;
  /** Lanes of one claim, and recipients of a lane. */
  readonly lanes: number;
  readonly batch: number;
  /** Claims of the one worker, with more queued when all is done; null: until the queue is empty. */
  readonly claims: number | null;
};

export type QueueFigures = {
  readonly perSecond: number;
  readonly claimP50Ms: number;
  readonly claimP99Ms: number;
  readonly seconds: number;
};

const router: Router = {
  nextHop: () => ({ route: 'direct', domain: null }),
  limits: () => ({ maxLanes: 20, perMinute: null }),
};

const facts: AttemptFacts = {
  reply: { code: 250, status: '2.0.0', text: 'Ok: queued as 4XyZ1234567' },
  host: 'mx1.example.org',
  address: '192.0.2.1',
  sourceAddress: '192.0.2.99',
  tls: {
    version: 'TLSv1.3',
    cipher: 'TLS_AES_256_GCM_SHA384',
    policy: 'opportunistic',
    isVerified: false,
    result: 'none',
  },
  ms: 120,
  isUncertain: false,
};

/** `serverUrl`: of any database of the server. */
export async function runQueueLoad(serverUrl: string, load: QueueLoad): Promise<QueueFigures> {
  const name = `queue_bench_${process.pid}`;
  await onServer(serverUrl, `drop database if exists ${name} with (force)`);
  await onServer(serverUrl, `create database ${name}`);
  const at = new URL(serverUrl);
  at.pathname = `/${name}`;
  try {
    await using database = createDatabase({ url: at.toString(), maxConnections: load.workers + 2 });
    await migrate(database);
    return await measure(database, at.toString(), load);
  } finally {
    await onServer(serverUrl, `drop database if exists ${name} with (force)`);
  }
}

async function onServer(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

async function measure(database: PostgresDatabase, url: string, load: QueueLoad): Promise<QueueFigures> {
  await using store = new PgMailStore({ database, tell: () => undefined });
  await using acceptor = new QueueAcceptor({
    database,
    store,
    router,
    clock: systemClock,
    expiryMs: 5 * 24 * 3600_000,
    tell: () => undefined,
    rouse: () => undefined,
  });
  const due = await fill(database, load);
  const snapshot = new pg.Client({ connectionString: url });
  await snapshot.connect();
  await snapshot.query('begin isolation level repeatable read');
  await snapshot.query('select count(*) from outbound_worker');
  try {
    const claims: number[] = [];
    let done = 0;
    let refills = 0;
    const refilling = async (): Promise<void> => {
      const startedAt = performance.now();
      await fillDue(database, load, due);
      refills += performance.now() - startedAt;
    };
    const work = async (): Promise<void> => {
      const queue = new PgOutboundQueue({ database, acceptor, leaseSeconds: 600, mostCrashes: 5 });
      await queue.enter('bench');
      for (let claim = 0; load.claims === null ? done < due : claim < load.claims;) {
        const startedAt = performance.now();
        const batches = await queue.claim(load.lanes, load.batch);
        if (batches.length > 0) {
          claims.push(performance.now() - startedAt);
          claim++;
          const finished = await finish(queue, batches);
          done += finished;
        } else if (load.claims === null) {
          // The others have the rest in hand.
          await sleep(1);
        } else {
          await refilling();
        }
      }
    };
    const startedAt = performance.now();
    await Promise.all(Array.from({ length: load.workers }, work));
    const seconds = (performance.now() - startedAt - refills) / 1000;
    return {
      perSecond: done / seconds,
      claimP50Ms: percentile(claims.toSorted(ascending), 50),
      claimP99Ms: percentile(claims.toSorted(ascending), 99),
      seconds,
    };
  } finally {
    await snapshot.end();
  }
}

async function finish(queue: PgOutboundQueue, batches: readonly LaneBatch[]): Promise<number> {
  const inHand = batches.flatMap((batch) => batch.inHand);
  await queue.settle(
    inHand.map((each) => ({
      inHand: each,
      next: 'gone',
      due: null,
      reason: null,
      outcome: 'delivered',
      category: null,
      facts,
    })),
  );
  await queue.giveBack(
    batches.map(({ lane }) => ({ lane, rise: 0.1, fall: 1, blockedMs: null, reason: null, isSettled: true })),
  );
  return inHand.length;
}

/** Resolves with the number of recipients that are due at next hops that are not blocked. */
async function fill(database: PostgresDatabase, load: QueueLoad): Promise<number> {
  const { db } = database;
  const blocked = Math.floor(load.rows * 0.9);
  await sql`insert into outbound_destination (route, domain, max_lanes, bearable, next_due, blocked_until)
    select 'direct', 'd' || i || '.test', 20, 20, case when i = 0 then now() + interval '1 hour' else now() end,
        case when i = 0 then now() + interval '1 hour' end
      from generate_series(0, ${load.destinations}::int) i order by i`.execute(db);
  await sql`insert into outbound_message (blob_hash, prefix, size, origin, domain, sender, body, smtputf8, requiretls,
      deliver_by_trace, priority, trace_id, expires_at)
    select '\\x00', '\\x00', 2000, 'submission', 'a.test', 'ann@a.test', '7bit', false, false, false, 0, 'x',
      now() + interval '5 days' from generate_series(1, ${load.rows - blocked}::int)`.execute(db);
  await sql`insert into outbound_recipient (message_id, destination_id, class, due_at, address, domain)
    select 1 + i % ${load.rows - blocked}::int, 1, 1, now() - random() * interval '1 hour', 'user' || i || '@d0.test', 'd0.test'
      from generate_series(1, ${blocked}::int) i`.execute(db);
  const due = load.rows - blocked;
  await fillDue(database, load, due);
  await sql`vacuum analyze outbound_recipient, outbound_destination, outbound_message`.execute(db);
  return due;
}

async function fillDue({ db }: PostgresDatabase, load: QueueLoad, count: number): Promise<void> {
  await sql`insert into outbound_recipient (message_id, destination_id, class, due_at, address, domain)
    select i, 2 + i % ${load.destinations}::int, 1, now(), 'user' || i || '@example.org', 'example.org'
      from generate_series(1, ${count}::int) i`.execute(db);
  await sql`select outbound_rouse((select array_agg(id) from outbound_destination where id > 1))`.execute(db);
}

const ascending = (one: number, other: number): number => one - other;
