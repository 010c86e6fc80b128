/**
 * `make bench`: measures us beside Postfix and Dovecot. Rounds are interleaved, so that each server meets the same
 * moods of the machine, and the first one is thrown away. ROW=name,beginning… takes some rows, QUICK=1 is a look.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import type { Bench } from './bench.ts';
import { machine, commitNow } from './machine.ts';
import { doubts, probe } from './noise.ts';
import type { BenchResults, Probe, RowResult, Sample } from './results.ts';
import { rowsNamed } from './rows/all-rows.ts';
import type { Row } from './rows/row.ts';
import type { MailServer, ServerName } from './servers/mail-server.ts';
import { Postrider } from './servers/postrider.ts';
import { startServers } from './start-servers.ts';
import { figure, formatTable } from './table.ts';

const isQuick = process.env['QUICK'] === '1';
const rounds = Number(process.env['ROUNDS'] ?? (isQuick ? 1 : 3));
const stopping = new AbortController();

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    say('stopping the servers');
    stopping.abort();
  });
}

try {
  await main(process.env['ROW'] ?? '');
} catch (error) {
  process.exitCode = stopping.signal.aborted ? 130 : 1;
  if (!stopping.signal.aborted) console.error(error);
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

async function main(names: string): Promise<void> {
  if (names === 'list') {
    for (const row of rowsNamed('')) console.log(`${row.name.padEnd(24)}${row.title}`);
    return;
  }
  const rows = rowsNamed(names);
  const wanted = new Set(rows.flatMap((row) => row.servers));
  await using started = await startServers(wanted, say);
  // Whoever waits for the client hears that it ended, and nothing is left to wait for.
  stopping.signal.addEventListener('abort', () => void started.bench(isQuick).client[Symbol.asyncDispose]());
  const bench = started.bench(isQuick);
  const servers = Object.fromEntries([...bench.servers].map(([name, { description }]) => [name, description]));
  const probes: Probe[] = [];
  const results: RowResult[] = [];
  const about = { at: new Date().toISOString(), commit: commitNow(), machine: machine(), servers, isQuick };
  for (const row of rows) {
    stopping.signal.throwIfAborted();
    results.push(await measureRow(bench, row, probes, started.missing));
    // After each row: who stops a long run keeps what was measured.
    write({ ...about, probes, rows: results });
  }
  report({ ...about, probes, rows: results });
}

async function measureRow(
  bench: Bench,
  row: Row,
  probes: Probe[],
  missing: ReadonlyMap<ServerName, string>,
): Promise<RowResult> {
  const remarks = row.servers.flatMap((name) => (missing.has(name) ? [`${name}: ${missing.get(name)}`] : []));
  const servers = row.servers.flatMap((name) => bench.servers.get(name) ?? []);
  const samples = new Map<ServerName, (Sample | null)[]>();
  for (const server of servers) if (await prepared(row, bench, server, remarks)) samples.set(server.name, []);
  for (let round = 0; round < rounds; round++) {
    probes.push(probe(bench.folder));
    // Who comes first changes, so that what one leaves to the disk does not always hit the same one.
    const able = servers.filter(({ name }) => samples.has(name));
    const order = [...able.slice(round % able.length), ...able.slice(0, round % able.length)];
    for (const server of order) samples.get(server.name)?.push(await attempt(row, bench, server, remarks));
    probes.push(probe(bench.folder));
  }
  const limits = (await row.limits?.(bench)) ?? {};
  const { name, title, unit, better, aim } = row;
  return { name, title, unit, better, aim, samples: Object.fromEntries(samples), limits, remarks };
}

/** Brings the server to where the row begins, and warms it up. False: it can't. */
async function prepared(row: Row, bench: Bench, server: MailServer, remarks: string[]): Promise<boolean> {
  try {
    if (server instanceof Postrider) await server.useMode(row.clearLogin === true ? 'development' : 'production');
    await row.prepare?.(bench, server);
  } catch (error) {
    note(row, server, error, remarks);
    return false;
  }
  await attempt(row, bench, server, remarks);
  return true;
}

function note(row: Row, server: MailServer, error: unknown, remarks: string[]): void {
  stopping.signal.throwIfAborted();
  const remark = `${server.name}: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`;
  say(`${row.name.padEnd(24)}${remark}`);
  if (!remarks.includes(remark)) remarks.push(remark);
}

/** Null, and a remark, when the server could not do it. */
async function attempt(row: Row, bench: Bench, server: MailServer, remarks: string[]): Promise<Sample | null> {
  stopping.signal.throwIfAborted();
  try {
    const sample = await row.measure(bench, server);
    say(`${row.name.padEnd(24)}${server.name.padEnd(16)}${figure(sample.value)} ${row.unit}`);
    return sample;
  } catch (error) {
    note(row, server, error, remarks);
    return null;
  }
}

function fileOf({ at }: BenchResults): string {
  return path.join('bench-results', `${at.replaceAll(':', '-').slice(0, 19)}.json`);
}

function write(results: BenchResults): void {
  mkdirSync('bench-results', { recursive: true });
  writeFileSync(fileOf(results), `${JSON.stringify(results, null, 1)}\n`);
}

function report(results: BenchResults): void {
  if (results.isQuick) console.log('A quick look: mailboxes and times are a fraction of what the titles say.\n');
  console.log(formatTable(results.rows));
  for (const row of results.rows) for (const remark of row.remarks) console.log(`${row.name}: ${remark}`);
  const found = doubts(results.probes, results.rows);
  console.log(found.length === 0 ? '\nThe machine was quiet.' : `\nThe machine was too noisy to trust single figures:`);
  for (const doubt of found) console.log(`- ${doubt}`);
  console.log(`\nWritten to ${fileOf(results)}`);
}
