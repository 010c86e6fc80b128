/**
 * `make bench-operator`: the operator before a real API server and a durable Postgres. MAILBOXES=1000 for a smaller
 * run (10,000); a table to standard output, JSON to bench-results/operator. Exit code 1 where an aim is missed.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { commitNow, machine } from '../bench/machine.ts';
import { lacksKube } from '../harness/kube-assets.ts';
import { figures, worst, type FigureName } from './figures.ts';
import { until } from '../operator/until.ts';
import { startInstallation } from './installation.ts';
import {
  allReady,
  applyToLogin,
  handOver,
  idleRequests,
  memoryOf,
  restart,
  rowRepair,
  secretRotation,
} from './measure.ts';

const count = Number(process.env['MAILBOXES'] ?? 10_000);
const singles = Number(process.env['SAMPLES'] ?? 50);
const few = 8;

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

async function measureAll(): Promise<ReadonlyMap<FigureName, number>> {
  const found = new Map<FigureName, number>();
  const tell = (name: FigureName, value: number): void => {
    found.set(name, value);
    const figure = figures.find((each) => each.name === name);
    say(`  ${figure?.title ?? name}: ${value.toFixed(2)} ${figure?.unit ?? ''}`);
  };
  await using installation = await startInstallation(say);
  await using stack = new AsyncDisposableStack();
  let operator = stack.use(await installation.startOperator('bench'));
  await until(
    () => operator.isLeading(),
    60_000,
    () => operator.log(),
  );
  let memory = 0;
  const noteMemory = async (): Promise<void> => {
    memory = Math.max(memory, await memoryOf(operator));
  };
  say(`measuring with ${count} mailboxes`);
  tell('all-ready', await allReady(installation, operator, count));
  await noteMemory();
  tell('apply-to-login', worst({ samples: await applyToLogin(installation, singles), of: 'p99' }));
  tell('secret-rotation', worst({ samples: await secretRotation(installation, few), of: 'max' }));
  tell('row-repair', worst({ samples: await rowRepair(installation, few), of: 'max' }));
  tell('idle-requests', await idleRequests(operator));
  await noteMemory();
  const restarted = await restart(installation, operator);
  operator = stack.use(restarted.operator);
  tell('restart', restarted.tookSeconds);
  tell('restart-writes', restarted.writes);
  await noteMemory();
  const killed = await handOver(installation, operator, 'SIGKILL');
  operator = stack.use(killed.operator);
  tell('leader-kill', killed.tookSeconds);
  const stopped = await handOver(installation, operator, 'SIGTERM');
  operator = stack.use(stopped.operator);
  tell('leader-stop', stopped.tookSeconds);
  await noteMemory();
  tell('memory', memory);
  return found;
}

if (lacksKube()) {
  process.exitCode = 1;
} else {
  const startedAt = new Date();
  const found = await measureAll();
  const rows = figures.map(({ name, title, unit, aim }) => {
    const value = found.get(name) ?? Number.NaN;
    return { name, title, unit, aim, value, isMet: value <= aim };
  });
  for (const { title, unit, aim, value, isMet } of rows) {
    const shown = `${value.toFixed(2)} ${unit}`.padStart(18);
    console.log(`${isMet ? 'met   ' : 'MISSED'} ${title.padEnd(54)}${shown}   at most ${aim}`);
  }
  const folder = path.join('bench-results', 'operator');
  mkdirSync(folder, { recursive: true });
  const file = path.join(folder, `${startedAt.toISOString().slice(0, 19).replaceAll(':', '-')}.json`);
  const about = { at: startedAt.toISOString(), commit: commitNow(), machine: machine(), mailboxes: count };
  writeFileSync(file, `${JSON.stringify({ ...about, rows }, null, 2)}\n`);
  say(`written to ${file}`);
  if (rows.some(({ isMet }) => !isMet)) process.exitCode = 1;
}
