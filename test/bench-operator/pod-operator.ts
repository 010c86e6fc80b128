/**
 * The operator as a pod has it: told where the API server is, not by a kubeconfig, whose reader is large. The rest is as
 * in operator/main.ts.
 */
import process from 'node:process';
import { systemClock } from '#shared/base/clock.ts';
import { readEnvironment } from '#shared/config/environment.ts';
import { loadOperatorConfig } from '#shared/config/operator-config.ts';
import { createLogger } from '#shared/observe/logger.ts';
import { firstStopSignal } from '#shared/process/ending.ts';
import { startOperator } from '#operator/compose.ts';
import type { KubeAccess } from '#operator/kube/kube-access.ts';

const { BENCH_ACCESS: access = '', ...environment } = readEnvironment();
const { config } = loadOperatorConfig(environment);
const operator = await startOperator({
  config,
  access: JSON.parse(access) as KubeAccess,
  logger: createLogger({ level: 'info', format: 'json' }),
  clock: systemClock,
  isProgram: true,
});
await Promise.race([firstStopSignal(), operator.ended]);
await operator.stop();
process.exitCode = 0;
