/**
 * A process that wants to lead, for tests that kill and pause it: prints `waiting`, `leading`, then `write` with the milliseconds
 * since 1970 as long as it may write, `lost` or `ended`. Its argument is JSON of `ElectorProgramOptions`.
 */
import process from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { systemClock } from '#shared/base/clock.ts';
import { kubeMetricTable } from '#shared/observe/kube-metrics.ts';
import { silentLogger } from '#shared/observe/logger.ts';
import { createMetricsOf } from '#shared/observe/metric-table.ts';
import { createKubeClient } from '#operator/kube/http-client.ts';
import type { KubeAccess } from '#operator/kube/kube-access.ts';
import { LeaderElector, LeadershipLost } from '#operator/kube/leader-elector.ts';

export type ElectorProgramOptions = {
  readonly access: KubeAccess;
  readonly namespace: string;
  readonly identity: string;
  readonly leaseMs: number;
  readonly renewMs: number;
  readonly retryMs: number;
};

const { access, ...options } = JSON.parse(process.argv[2] ?? '') as ElectorProgramOptions;
const common = {
  logger: silentLogger,
  clock: systemClock,
  metrics: createMetricsOf(kubeMetricTable, new Registry()),
};
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const ending = new AbortController();
process.once('SIGTERM', () => ending.abort());

await using client = createKubeClient({ ...common, access, name: options.identity });
const elector: LeaderElector = new LeaderElector({
  ...common,
  ...options,
  client,
  name: 'leader',
  signal: ending.signal,
  async onLead({ stop }) {
    say('leading');
    while (!stop.aborted) {
      // Before it is asked: frozen in between, it may write what it had decided.
      const at = Date.now();
      if (elector.isLeader) say(`write ${at}`);
      await delay(20, undefined, { signal: stop }).catch(() => undefined);
    }
  },
});
say('waiting');
try {
  await elector.run();
  say('ended');
} catch (error) {
  if (!(error instanceof LeadershipLost)) throw error;
  say('lost');
}
