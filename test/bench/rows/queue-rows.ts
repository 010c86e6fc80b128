/** The outbound queue: how a claim's time grows with the queue, and how fast it is worked off. */
import type { Bench } from '../bench.ts';
import { runQueueLoad, type QueueFigures } from '../queue-load.ts';
import type { Sample } from '../results.ts';
import type { MailServer } from '../servers/mail-server.ts';
import type { Postrider } from '../servers/postrider.ts';
import { figure } from '../table.ts';
import { bound } from './aim.ts';
import type { Row } from './row.ts';

const smallRows = 1000;
/** Between the smallest and the largest queue. */
const betweenRows = [10_000, 100_000];
const largeRows = (bench: Bench): number => bench.size(1_000_000, 50_000);
/** Two next hops with a batch each, so that a thousand recipients with nine tenths blocked fill one. */
const oneBatch = { workers: 1, destinations: 2, lanes: 1, batch: 50 };

function sampleOf(value: number, { seconds }: QueueFigures, also: Readonly<Record<string, number>>): Sample {
  // It has no server in the sense of the other rows: the queue's worker is this process.
  const none = { serverCpu: 0, programCpu: 0, clientCpu: 0, foreignCores: 0, peakPssMiB: null, peakProgramMiB: null };
  return { value, seconds, ...none, also };
}

function curve(also: Sample['also']): string {
  return Object.entries(also ?? {})
    .map(([name, value]) => `${name} ${figure(value)}`)
    .join(', ');
}

const common = { servers: ['postrider'], isNearOnly: true, needsNoWarmUp: true, rounds: 3 } as const;

export const queueRows: readonly Row[] = [
  {
    ...common,
    name: 'queue-claim',
    title:
      'Claim of 50 recipients, p99, 1,000,000 in the queue, 900,000 of them due at one blocked next hop, a snapshot held',
    unit: 'ms',
    better: 'less',
    aim: bound(30, { 'p50 against 1,000': 2 }),
    async measure(bench: Bench, server: MailServer) {
      const url = (server as Postrider).databaseUrl;
      const claims = bench.size(300, 60);
      const most = largeRows(bench);
      const figures = new Map<number, QueueFigures>();
      for (const rows of [smallRows, ...betweenRows.filter((each) => each < most), most]) {
        figures.set(rows, await runQueueLoad(url, { ...oneBatch, rows, claims }));
      }
      const [small, large] = [figures.get(smallRows), figures.get(most)] as [QueueFigures, QueueFigures];
      const byRows = [...figures].flatMap(([rows, { claimP50Ms, claimP99Ms }]) => {
        const of = rows.toLocaleString('en');
        return [[`ms p50 of ${of}`, claimP50Ms] as const, [`ms p99 of ${of}`, claimP99Ms] as const];
      });
      return sampleOf(large.claimP99Ms, large, {
        'p50 against 1,000': large.claimP50Ms / small.claimP50Ms,
        ...Object.fromEntries(byRows),
      });
    },
    remark: (samples) => `the claim as the queue grows: ${samples.map(({ also }) => curve(also)).join('; ')}`,
  },
  {
    ...common,
    name: 'queue-drain',
    title: 'Deliveries claimed and finished by 8 workers, 1,000 next hops, attempts written, a snapshot held',
    unit: '/s',
    better: 'more',
    aim: bound(15_000),
    async measure(bench: Bench, server: MailServer) {
      const rows = bench.size(1_000_000, 200_000);
      const load = { rows, workers: 8, destinations: 1000, lanes: 8, batch: 100, claims: null };
      const figures = await runQueueLoad((server as Postrider).databaseUrl, load);
      return sampleOf(figures.perSecond, figures, { 'ms p99 of a claim': figures.claimP99Ms });
    },
  },
];
