/** The server as a process: log, signals, start, stop, exit code. */
import process from 'node:process';
import { systemClock } from '#shared/base/clock.ts';
import type { LoadedConfig, ServerConfig } from '#shared/config/server-config.ts';
import type { Logger } from '#shared/observe/logger.ts';
import { endOnUnexpectedErrors, endSoon, firstStopSignal, onSecondSignal } from '#shared/process/ending.ts';
import { version } from '#shared/process/version.ts';
import { startServer, type RunningServer } from './compose.ts';
import { createProcessLogger } from './process-logger.ts';
import { welcome, type LocalLogin } from './welcome.ts';

/** How long what should have ended by itself is waited for, in ms. */
const lingerMs = 2_000;

/** Runs until the first SIGTERM or SIGINT; resolves with the exit code. ProgramFault: it could not start. */
export async function runServer({ config, warnings }: LoadedConfig): Promise<number> {
  const logger = createProcessLogger(config);
  endOnUnexpectedErrors(logger);
  const stopSignal = firstStopSignal();
  for (const warning of warnings) logger.warn({ event: 'config.warning' }, warning);
  const { roles, isLocal: local, processes } = config;
  logger.info({ event: 'server.starting', version, roles, local, processes }, 'starting');
  await serve(config, logger, stopSignal);
  endSoon(logger, lingerMs);
  return 0;
}

async function serve(config: ServerConfig, logger: Logger, stopSignal: Promise<NodeJS.Signals>): Promise<void> {
  const server = await startUnlessStopped(config, logger, stopSignal);
  if (server === null) return;
  if (config.isLocal) process.stdout.write(welcome(config, server.ports, logins(server)));
  const signal = await stopSignal;
  logger.info({ event: 'server.signal', signal }, 'stopping; a second signal ends at once');
  endSoon(logger, config.graceSeconds * 1000 + lingerMs);
  onSecondSignal(() => server.abandon());
  await server.stop();
  logger.info({ event: 'server.stopped' }, 'stopped');
}

/** Null: a signal came while something outside was waited for. */
async function startUnlessStopped(
  config: ServerConfig,
  logger: Logger,
  stopSignal: Promise<NodeJS.Signals>,
): Promise<RunningServer | null> {
  const stopping = new AbortController();
  void stopSignal.then(() => stopping.abort());
  try {
    return await startServer({ config, logger, clock: systemClock, stopping: stopping.signal });
  } catch (error) {
    if (!(stopping.signal.aborted && (error as Error).name === 'AbortError')) throw error;
    logger.info({ event: 'server.stopped' }, 'stopped while starting');
    return null;
  }
}

/** Those whose password is known here; it is shown on this machine's terminal and never logged. */
function logins({ manifests }: RunningServer): readonly LocalLogin[] {
  return (manifests?.accounts ?? []).flatMap(({ address, password, isSuspended }) =>
    password === null || isSuspended ? [] : [{ address, password }],
  );
}
