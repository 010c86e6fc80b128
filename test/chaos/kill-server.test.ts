import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readFileSync } from 'node:fs';
import { ImapFlow } from 'imapflow';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { unreachable } from '#shared/base/unreachable.ts';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '#server/embedded/embedded-postgres.ts';
import { chosenPorts, startService, users, type Service, type ServicePorts } from '../harness/service.ts';
import { brokenInvariants } from '../harness/store-invariants.ts';
import { PostgresGate } from './postgres-gate.ts';
import { makeMessage, SmtpLoad, type LoadMessage } from './smtp-load.ts';

/** Kills that must have hit each moment. */
const hitsWanted = 10;
/** How a round's sender works. */
type Sender = {
  readonly name: string;
  /** Connections. */
  readonly sessions: number;
  /** Enough that a round is never over before its kill. */
  readonly messagesARound: number;
  readonly isPipelining: boolean;
};
const fewSessions: Sender = { name: 'few', sessions: 6, messagesARound: 36, isPipelining: false };
/** The load of the benchmark's row with the most connections. */
const benchLoad: Sender = { name: 'bench', sessions: 50, messagesARound: 300, isPipelining: true };
/** Of each moment, under the load of the benchmark. */
const hitsUnderBench = 3;
const team = [users.alice.address, users.bob.address];

/** What a kill can hit. */
type Moment = 'inside-data' | 'batch-forms' | 'commit-sent' | 'committed';

/**
 * kill -9 of the server at moments that are known, not hoped for: the gate before Postgres says where the
 * delivery's statement is, the sender where its messages are. Senders retry; the database is durable (fsync on).
 */
describe('kill -9 of the server under load', () => {
  let folder: string;
  let postgres: EmbeddedPostgres;
  let gate: PostgresGate;
  let ports: ServicePorts;
  let service: Service;
  const sent: LoadMessage[] = [];
  /** Messages that were in the statement or behind it when a kill came after it was sent: they may be there twice. */
  const maybeTwice = new Set<string>();
  const hits: Record<Moment, number> = { 'inside-data': 0, 'batch-forms': 0, 'commit-sent': 0, committed: 0 };

  beforeAll(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'postrider-chaos-'));
    postgres = await startEmbeddedPostgres({ directory: path.join(folder, 'pg'), logger: pino({ level: 'silent' }) });
    const upstreamSocket = path.join(new URL(postgres.url).searchParams.get('host') ?? '', '.s.PGSQL.5432');
    gate = await PostgresGate.open({ upstreamSocket, watch: /\bstore_(?:batch|message)\s*\(/ });
    ports = await chosenPorts();
    service = await start();
  });
  afterAll(async () => {
    await service?.[Symbol.asyncDispose]();
    await gate?.[Symbol.asyncDispose]();
    await postgres?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  function start(): Promise<Service> {
    const databaseUrl = `postgresql://postrider@127.0.0.1:${gate.port}/postrider`;
    return startService({ databaseUrl, dataDirectory: path.join(folder, 'data'), ports });
  }

  /** What waits for its reply now may be committed and unanswered: it may be there twice. Nothing else may. */
  function kill(load: SmtpLoad): void {
    service.process.kill('SIGKILL');
    for (const [id, phase] of load.phases) if (phase === 'waiting') maybeTwice.add(id);
  }

  /** Waits for the moment and kills in the same turn of the event loop; true when the kill hit it. */
  async function killAt(moment: Moment, load: SmtpLoad, sessions: number): Promise<boolean> {
    const isHit = await hit(moment, load, sessions);
    if (!isHit) kill(load);
    return isHit;
  }

  async function hit(moment: Moment, load: SmtpLoad, sessions: number): Promise<boolean> {
    let isHit = false;
    const killNow = (): void => {
      kill(load);
      isHit = true;
    };
    switch (moment) {
      case 'inside-data':
        load.dwellMs = 30;
        if (await until(() => load.count('data') > 0)) killNow();
        return isHit;
      case 'batch-forms': {
        // The answer to one batch is kept back; what comes meanwhile collects behind it.
        using _sent = gate.once('sent', () => gate.hold());
        if (await until(() => gate.isHolding && load.count('waiting') === sessions)) killNow();
        return isHit;
      }
      case 'commit-sent': {
        using _sent = gate.once('sent', killNow);
        await until(() => isHit);
        return isHit;
      }
      case 'committed': {
        // Asked for no sooner than the statement is sent: the answer to one before it would use the wish up.
        using answered = new DisposableStack();
        using _sent = gate.once('sent', () => {
          gate.hold();
          answered.use(gate.once('answered', killNow));
        });
        await until(() => isHit);
        return isHit;
      }
      default:
        return unreachable(moment);
    }
  }

  /** True when the kill hit the moment. */
  async function round(moment: Moment, n: number, sender: Sender): Promise<boolean> {
    const messages = Array.from({ length: sender.messagesARound }, (_, i) => {
      const to = i % 3 === 0 ? team : [team[i % 2] as string];
      // One in twelve is larger than what is held in memory.
      return makeMessage(
        `${sender.name}-${moment}-${n}-${i}`,
        to,
        i % 12 === 7 && i < 36 ? 1_500_000 : 500 + (i % 36) * 900,
      );
    });
    sent.push(...messages);
    const load = new SmtpLoad(ports.smtp, messages);
    load.isPipelining = sender.isPipelining;
    const stop = AbortSignal.timeout(60_000);
    const running = load.run(sender.sessions, stop);
    await until(() => load.count('accepted') >= 4);
    const isHit = await killAt(moment, load, sender.sessions);
    load.dwellMs = 0;
    await service[Symbol.asyncDispose]();
    gate.release();
    service = await start();
    await running;
    expect(load.count('accepted')).toBe(messages.length);
    return isHit;
  }

  test.each<Moment>(['inside-data', 'batch-forms', 'commit-sent', 'committed'])(
    'at least ten kills hit: %s',
    { timeout: 240_000 },
    async (moment) => {
      for (let n = 0; hits[moment] < hitsWanted && n < hitsWanted * 2; n++) {
        if (await round(moment, n, fewSessions)) hits[moment]++;
      }
      expect(hits[moment]).toBeGreaterThanOrEqual(hitsWanted);
    },
  );

  test.each<Moment>(['inside-data', 'batch-forms', 'commit-sent', 'committed'])(
    "and under the benchmark's load of 50 sessions: %s",
    { timeout: 240_000 },
    async (moment) => {
      let found = 0;
      for (let n = 0; found < hitsUnderBench && n < hitsUnderBench * 2; n++) {
        if (await round(moment, n, benchLoad)) found++;
      }
      expect(found).toBeGreaterThanOrEqual(hitsUnderBench);
    },
  );

  test(
    'every accepted message is there, whole; only those in a sent statement may be there twice',
    { timeout: 120_000 },
    async () => {
      let duplicates = 0;
      for (const user of [users.alice, users.bob]) {
        const expected = new Map(
          sent.filter(({ to }) => to.includes(user.address)).map((message) => [message.sha256, message]),
        );
        const found = await countMessages(service, user);
        const foreign = [...found.keys()].filter((hash) => !expected.has(hash));
        expect(foreign, 'messages in part, or changed').toEqual([]);
        const missing = [...expected.keys()].filter((hash) => !found.has(hash));
        expect(missing, 'accepted and lost').toEqual([]);
        const twice = [...found].filter(([, count]) => count > 1).map(([hash]) => expected.get(hash)?.id ?? '');
        expect(
          twice.filter((id) => !maybeTwice.has(id)),
          'duplicates that no kill explains',
        ).toEqual([]);
        duplicates += twice.length;
        console.log(`${user.address}: ${expected.size} messages, ${twice.length} of them more than once`, hits);
      }
      // A kill between COMMIT and 250 leaves one at least: were there none, the kills would have missed.
      expect(duplicates).toBeGreaterThanOrEqual(hitsWanted);
    },
  );

  test('nothing in the database is out of place', async () => {
    expect(await brokenInvariants(postgres.url)).toEqual([]);
  });
});

async function until(condition: () => boolean): Promise<boolean> {
  const deadline = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > deadline) return false;
    await sleep(1);
  }
  return true;
}

/** How often each message is in the inbox, by the SHA-256 of its bytes without the trace fields before them. */
async function countMessages(
  service: Service,
  user: { address: string; password: string },
): Promise<Map<string, number>> {
  const client = new ImapFlow({
    host: 'localhost',
    port: service.ports.imapTls,
    secure: true,
    auth: { user: user.address, pass: user.password },
    tls: { ca: readFileSync(service.certificateFile) },
    logger: false,
  });
  await client.connect();
  const found = new Map<string, number>();
  try {
    await client.mailboxOpen('INBOX');
    for await (const { source } of client.fetch('1:*', { source: true })) {
      const bytes = source ?? Buffer.alloc(0);
      const hash = createHash('sha256')
        .update(bytes.subarray(bytes.indexOf('From: load@')))
        .digest('hex');
      found.set(hash, (found.get(hash) ?? 0) + 1);
    }
  } finally {
    await client.logout();
  }
  return found;
}
