/**
 * `make profile ROW=…`: our server under one row, once for the CPU profile and the database's statements, and once
 * more with plans logged, which slows it. The profile stays in bench-results/ for Chrome's or VS Code's viewer.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Bench } from './bench.ts';
import { functionTimes, type CpuProfile } from './cpu-profile.ts';
import {
  enableStatistics,
  logPlans,
  plansSince,
  resetStatistics,
  sizeOf,
  topStatements,
} from './database-statements.ts';
import { rowsNamed } from './rows/all-rows.ts';
import type { Row } from './rows/row.ts';
import type { Postrider } from './servers/postrider.ts';
import { startServers } from './start-servers.ts';
import { figure } from './table.ts';

const shownFunctions = 30;
/** Plans of faster statements are not logged. */
const loggedPlanMs = 1;

const [row] = rowsNamed(process.env['ROW'] || 'receive-4k-50') as [Row];
const stopping = Promise.withResolvers<never>();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => stopping.reject(new Error(`stopped by ${signal}`)));
}
mkdirSync('bench-results', { recursive: true });
const profileFile = path.resolve('bench-results', `${row.name}.cpuprofile`);
process.env['PROFILE_FILE'] = profileFile;

await using started = await startServers(new Set(['postrider']), (text) => console.error(text), {
  nodeArgs: ['--import', new URL('profile-hook.ts', import.meta.url).href],
  withSinks: row.servers.includes('postfix-opendkim'),
});
const bench = started.bench(process.env['QUICK'] === '1');
await Promise.race([profile(bench), stopping.promise]);

async function profile(bench: Bench): Promise<void> {
  const server = bench.servers.get('postrider') as Postrider;
  const url = server.databaseUrl;
  const hasStatistics = await enableStatistics(url);
  await server.useMode(row.clearLogin === true ? 'development' : 'production');
  await server.restart();
  await row.prepare?.(bench, server);
  bench.isBrief = true;
  await row.measure(bench, server); // Warm-up.
  bench.isBrief = false;
  if (hasStatistics) await resetStatistics(url);
  server.signal('SIGUSR2');
  await sleep(200);
  const sample = await row.measure(bench, server);
  server.signal('SIGUSR2');
  await sleep(1500);
  console.log(`${row.name}: ${figure(sample.value)} ${row.unit} under the profiler`);
  printFunctions(JSON.parse(readFileSync(profileFile, 'utf8')) as CpuProfile);
  if (!hasStatistics) {
    console.log('\nThis Postgres has no pg_stat_statements.');
    return;
  }
  console.log("\nThe database's statements, those inside functions too:");
  for (const { query, calls, totalMs, planMs, rows, walBytes } of await topStatements(url)) {
    const each = `${figure(totalMs / calls)} ms each, ${figure(planMs)} ms of it planning, ${rows} rows, ${figure(walBytes / 1e6)} MB of WAL`;
    console.log(
      `${figure(totalMs).padStart(8)} ms ${String(calls).padStart(7)} calls, ${each}\n           ${query.slice(0, 220)}`,
    );
  }
  const from = await sizeOf(server.databaseLogFile);
  await logPlans(url, loggedPlanMs);
  bench.isBrief = true;
  await row.measure(bench, server);
  await logPlans(url, 'off');
  const plans = await plansSince(server.databaseLogFile, from);
  console.log(`\nThe slowest plan of each statement that took over ${loggedPlanMs} ms:`);
  for (const plan of plans) console.log(`\n${plan.slice(0, 4000)}`);
}

function printFunctions(cpuProfile: CpuProfile): void {
  const { busy, functions } = functionTimes(cpuProfile);
  const percent = (share: number): string => `${(share * 100).toFixed(1)} %`.padStart(7);
  console.log(`The event loop was busy ${Math.round(busy * 100)} % of the time; of that:\n\n  self  total  function`);
  for (const { name, self, total } of functions.slice(0, shownFunctions)) {
    console.log(`${percent(self)}${percent(total)}  ${name}`);
  }
  const ours = functions.filter(({ name }) => /(server|shared)\//.test(name)).sort((a, b) => b.total - a.total);
  console.log('\nOf our own, by what they and those they call took (after an await it counts elsewhere):\n');
  for (const { name, self, total } of ours.slice(0, shownFunctions))
    console.log(`${percent(self)}${percent(total)}  ${name}`);
  console.log(`\nThe whole profile: ${profileFile}`);
}
