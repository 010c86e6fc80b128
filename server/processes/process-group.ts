/**
 * Several processes that serve on the same listeners, kept running. Connections come in turn (node:cluster, round
 * robin): a listener stays open when a process dies. It must not know what they serve. Invariants: all are ready
 * before the group is; who ends by itself is started again, later each time; what was counted stays counted.
 */
import cluster from 'node:cluster';
import type { Clock } from '#shared/base/clock.ts';
import { ProgramFault } from '#shared/base/program-fault.ts';
import type { ServerConfig } from '#shared/config/server-config.ts';
import type { Health } from '#shared/observe/health.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { Metrics } from '#shared/observe/metrics.ts';
import type { ToldFault } from './messages.ts';
import { MergedMetrics } from './merged-metrics.ts';
import { packConfig, type PackedConfig } from './packed-config.ts';
import { ServingProcess, type Ports } from './serving-process.ts';

export type ProcessGroupOptions = {
  readonly count: number;
  /** What each runs: it hears ToProcess and says FromProcess. */
  readonly program: string;
  readonly config: ServerConfig;
  readonly health: Health;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly clock: Clock;
};

/** Figures are asked for so often even when nobody scrapes: what a process counted since is lost when it is killed. */
const askEveryMs = 5_000;
/** A scrape waits so long for a process that is busy; then its last figures are shown. */
const scrapeMs = 2_000;
/** A process that has not answered for so long hangs: it is killed and started again. */
const hangsMs = 60_000;
/** So long a start may take: it waits for others that migrate. */
const startsMs = 180_000;

/** Before one that died is started again: the first, doubled for each death in a row, the longest. */
const restartMs = { first: 100, most: 30_000 };
/** Who lived so long died for a new reason. */
const livedMs = 60_000;

type Place = { running: ServingProcess; startedAt: number; deaths: number; timer: NodeJS.Timeout | null };

export class ProcessGroup implements AsyncDisposable {
  readonly name = 'processes';
  readonly #options: ProcessGroupOptions;
  readonly #packed: PackedConfig;
  readonly #places: Place[] = [];
  readonly #merged = new MergedMetrics();
  readonly #asking: NodeJS.Timeout;
  #ports: Ports = [];
  #isStopping = false;
  /** Ends the wait of `open`; null when it is over. */
  #starting: ((failure: Error | null) => void) | null = null;

  private constructor(options: ProcessGroupOptions) {
    this.#options = options;
    this.#packed = packConfig(options.config);
    cluster.schedulingPolicy = cluster.SCHED_RR;
    cluster.setupPrimary({ exec: options.program, args: [], serialization: 'advanced' });
    this.#asking = setInterval(() => this.#lookAfter(), askEveryMs).unref();
  }

  /** Resolves when all are ready; rejects with the ProgramFault of the first that can't start, and none runs. */
  static async open(options: ProcessGroupOptions): Promise<ProcessGroup> {
    const group = new ProcessGroup(options);
    try {
      await new Promise<void>((resolve, reject) => {
        group.#starting = (failure) => (failure === null ? resolve() : reject(failure));
        for (let number = 1; number <= options.count; number++) group.#open(number);
      });
    } catch (error) {
      await group.stop(0);
      throw error;
    }
    return group;
  }

  get ports(): Ports {
    return this.#ports;
  }

  /** What `/metrics` prints, the supervisor's own figures included. */
  async printMetrics(): Promise<string> {
    await Promise.all(this.#running().map((running) => running.ask(scrapeMs)));
    const own = await this.#options.metrics.registry.getMetricsAsJSON();
    return this.#merged.print([own, ...this.#running().map(({ metrics }) => metrics)]);
  }

  /** All drain at once; whatever is left after `graceMs` is killed. */
  async stop(graceMs: number): Promise<void> {
    if (this.#isStopping) return;
    this.#isStopping = true;
    clearInterval(this.#asking);
    for (const { timer } of this.#places) if (timer) clearTimeout(timer);
    await Promise.all(this.#places.map(({ running }) => running.stop(graceMs)));
  }

  /** They would end by themselves when we are gone; now it is sure. */
  killAll(): void {
    this.#isStopping = true;
    for (const { running } of this.#places) running.kill();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop(0);
  }

  #open(number: number): void {
    const running = new ServingProcess(number, this.#packed, {
      ready: (ports) => this.#ready(number, ports),
      gone: (how, fault) => this.#gone(number, how, fault),
    });
    const startedAt = this.#options.clock.monotonicMs();
    const place = this.#places[number - 1];
    if (place) Object.assign(place, { running, startedAt, timer: null });
    else this.#places[number - 1] = { running, startedAt, deaths: 0, timer: null };
  }

  #ready(number: number, ports: Ports): void {
    const { health, logger, metrics, count } = this.#options;
    this.#ports = ports;
    const ready = this.#running().length;
    metrics.processes.set(ready);
    health.recover(`process ${number}`);
    health.meet('processes');
    const pid = this.#places[number - 1]?.running.pid;
    logger.info({ event: 'process.ready', process: number, pid, ready, of: count }, 'a process is ready');
    if (ready < count || !this.#starting) return;
    this.#starting(null);
    this.#starting = null;
  }

  #gone(number: number, how: string, fault: ToldFault | null): void {
    const place = this.#places[number - 1];
    if (!place) return;
    this.#merged.retire(place.running.metrics);
    const { health, logger, metrics, clock } = this.#options;
    const ready = this.#running().length;
    metrics.processes.set(ready);
    if (this.#isStopping) return;
    const err = fault === null ? null : new ProgramFault(fault.exitCode, fault.message, fault.hint);
    if (this.#starting) return this.#starting(err ?? new Error(`a process ended while it started: ${how}`));
    metrics.processDeaths.inc();
    place.deaths = clock.monotonicMs() - place.startedAt > livedMs ? 1 : place.deaths + 1;
    const inMs = Math.min(restartMs.most, restartMs.first * 2 ** (place.deaths - 1));
    logger.error({ event: 'process.died', process: number, how, err, inMs }, 'a process ended; starting another');
    health.degrade(`process ${number}`, `ended (${how}); it is started again`);
    if (ready === 0) health.require('processes', 'none is running');
    place.timer = setTimeout(() => this.#open(number), inMs);
  }

  #running(): readonly ServingProcess[] {
    return this.#places.flatMap(({ running }) => (running.isReady ? [running] : []));
  }

  #lookAfter(): void {
    const now = this.#options.clock.monotonicMs();
    for (const { running, startedAt, timer } of this.#places) {
      const { number, isReady } = running;
      // Its end was heard of, and another is about to be started.
      if (timer !== null) continue;
      const silentMs = isReady ? running.silentMs : now - startedAt;
      if (silentMs > (isReady ? hangsMs : startsMs)) {
        this.#options.logger.error({ event: 'process.hangs', process: number, silentMs }, 'a process does not answer');
        running.kill();
      } else void running.ask(askEveryMs);
    }
  }
}
