/** The program `postrider-operator`: log, signals, start, stop, exit code. */
import process from 'node:process';
import { systemClock } from '#shared/base/clock.ts';
import { ProgramFault } from '#shared/base/program-fault.ts';
import { readEnvironment } from '#shared/config/environment.ts';
import { loadOperatorConfig, type OperatorConfig } from '#shared/config/operator-config.ts';
import { createLogger, type Logger } from '#shared/observe/logger.ts';
import { endOnUnexpectedErrors, endSoon, firstStopSignal } from '#shared/process/ending.ts';
import { version } from '#shared/process/version.ts';
import { startOperator } from './compose.ts';
import { loadKubeAccess } from './kube/kube-config.ts';

/** How long what should have ended by itself is waited for, in ms. */
const lingerMs = 2_000;
/** Another process leads: whoever runs this one starts it again. */
const deposedExitCode = 1;

async function main(): Promise<number> {
  const environment = readEnvironment();
  const { config, warnings } = loadOperatorConfig(environment);
  const logger = createProcessLogger(config);
  endOnUnexpectedErrors(logger);
  const stopSignal = firstStopSignal();
  for (const warning of warnings) logger.warn({ event: 'config.warning' }, warning);
  logger.info({ event: 'operator.starting', version, namespaces: config.watchedNamespaces }, 'starting');
  const access = await loadKubeAccess(environment);
  const operator = await startOperator({ config, access, logger, clock: systemClock, isProgram: true });
  const exitCode = await Promise.race([
    stopSignal.then((signal) => {
      logger.info({ event: 'operator.signal', signal }, 'stopping; a second signal ends at once');
      return 0;
    }),
    operator.ended.then(
      () => 0,
      (err: unknown) => {
        logger.error({ event: 'operator.deposed', err }, 'this process leads no more; ending');
        return deposedExitCode;
      },
    ),
  ]);
  endSoon(logger, config.graceSeconds * 1000);
  await operator.stop();
  logger.info({ event: 'operator.stopped' }, 'stopped');
  endSoon(logger, lingerMs);
  return exitCode;
}

function createProcessLogger({ logLevel, logFormat }: OperatorConfig): Logger {
  const automatic = process.stdout.isTTY ? 'text' : 'json';
  return createLogger({
    level: logLevel === 'warning' ? 'warn' : logLevel,
    format: logFormat === 'auto' ? automatic : logFormat,
  });
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof ProgramFault)) throw error;
  process.stderr.write(`postrider-operator: ${error.message}\n${error.hint}\n`);
  process.exitCode = error.exitCode;
}
