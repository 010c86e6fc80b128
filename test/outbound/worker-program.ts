/** A worker of the outbound queue as a process of its own, so that it can be killed: DATABASE_URL, PEER_PORT, LEASE. */
import process from 'node:process';
import { pino } from 'pino';
import { systemClock } from '#shared/base/clock.ts';
import { createMetrics } from '#shared/observe/metrics.ts';
import { OutboundWorker } from '#server/outbound/worker.ts';
import { PgOutboundQueue } from '#server/store/pg-queue.ts';
import { QueueWake } from '#server/store/pg-queue-wake.ts';
import { routeOf, smtpTarget, testTransport } from '../harness/outbound.ts';
import { openQueue, peerRouter } from './queue-under-test.ts';

const url = process.env['DATABASE_URL'] ?? '';
const leaseSeconds = Number(process.env['LEASE']);
const target = smtpTarget(Number(process.env['PEER_PORT']), { tls: 'disabled' });
const under = openQueue(url, peerRouter);
const wake = new QueueWake(under.database, () => undefined);
const worker = new OutboundWorker({
  queue: new PgOutboundQueue({ database: under.database, acceptor: under.acceptor, leaseSeconds, mostCrashes: 20 }),
  statistics: under.administration,
  notices: { build: () => Promise.reject(new Error('nothing fails for good here')) },
  directory: { resolveRecipient: () => Promise.resolve({ kind: 'unknown' }) },
  transport: testTransport([routeOf('peer', [target])]),
  rules: { classify: () => ({ action: 'as-is', category: 'other' }) },
  suppression: { suppressed: () => Promise.resolve(new Map()), learn: () => Promise.resolve() },
  subscribe: (woken) => wake.subscribe(woken),
  leaseSeconds,
  maxLanes: 20,
  pollMs: 100,
  clock: systemClock,
  random: Math.random,
  logger: pino({ level: process.env['LOG'] ?? 'silent' }),
  metrics: createMetrics(),
});
worker.start();
process.once('SIGTERM', () => {
  void worker.stop(5_000).then(async () => {
    await wake[Symbol.asyncDispose]();
    await under[Symbol.asyncDispose]();
  });
});
process.stdout.write('ready\n');
