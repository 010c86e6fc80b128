/**
 * The program of a process that serves beside others (PROCESSES above 1). It does what its supervisor says; signals
 * are the supervisor's matter, and when that one is gone, node:cluster ends this process too.
 */
import cluster from 'node:cluster';
import process from 'node:process';
import { systemClock } from '#shared/base/clock.ts';
import { ProgramFault } from '#shared/base/program-fault.ts';
import type { ServerConfig } from '#shared/config/server-config.ts';
import { endOnUnexpectedErrors, endSoon } from '#shared/process/ending.ts';
import { startServer, type RunningServer } from './compose.ts';
import { createProcessLogger } from './process-logger.ts';
import type { FromProcess, ToProcess } from './processes/messages.ts';
import { unpackConfig } from './processes/packed-config.ts';

/** How long what should have ended by itself is waited for, in ms. */
const lingerMs = 2_000;

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);

let server: Promise<RunningServer | null> = Promise.resolve(null);
process.on('message', (message: ToProcess) => void hear(message));

async function hear(message: ToProcess): Promise<void> {
  switch (message.kind) {
    case 'start':
      server = start(message.number, unpackConfig(message.config));
      return;
    case 'report': {
      const running = await server;
      if (running) say({ kind: 'report', metrics: await running.metrics.registry.getMetricsAsJSON() });
      return;
    }
    case 'stop':
      await stop(message.graceMs);
  }
}

async function start(number: number, config: ServerConfig): Promise<RunningServer | null> {
  // Its output is shared, whatever `processes` says of one that is to serve alone.
  const logger = createProcessLogger({ ...config, processes: 2 }).child({ process: number });
  endOnUnexpectedErrors(logger);
  try {
    const running = await startServer({ config, logger, clock: systemClock, isOneOfSeveral: true });
    say({ kind: 'ready', ports: [...running.ports] });
    return running;
  } catch (error) {
    if (!(error instanceof ProgramFault)) throw error;
    const { exitCode, message, hint } = error;
    say({ kind: 'fault', fault: { exitCode, message, hint } });
    cluster.worker?.disconnect();
    return null;
  }
}

async function stop(graceMs: number): Promise<void> {
  const running = await server;
  if (!running) return;
  await running.stop(graceMs);
  say({ kind: 'stopped', metrics: await running.metrics.registry.getMetricsAsJSON() });
  cluster.worker?.disconnect();
  endSoon(running.logger, lingerMs);
}

function say(message: FromProcess): void {
  if (process.connected) process.send?.(message);
}
