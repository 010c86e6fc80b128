/**
 * `make bench`: measures us beside Postfix and Dovecot. Rounds are interleaved, so that each server meets the same
 * moods of the machine, and the first one is thrown away. ROW=name,beginning… takes some rows, QUICK=1 is a look.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { farRow } from './far.ts';
import { machine, commitNow } from './machine.ts';
import { measureRow } from './measure-row.ts';
import { doubts } from './noise.ts';
import type { BenchResults, Probe, RowResult } from './results.ts';
import { rowsNamed } from './rows/all-rows.ts';
import type { MailServer, ServerName } from './servers/mail-server.ts';
import { startServers } from './start-servers.ts';
import { formatTable } from './table.ts';
import { aimText, verdicts } from './verdict.ts';

const isQuick = process.env['QUICK'] === '1';
const rounds = Number(process.env['ROUNDS'] ?? (isQuick ? 1 : 3));
const isExact = process.env['ROUNDS'] !== undefined;
const withFar = process.env['FAR'] !== '0';
const stopping = new AbortController();
const startedAt = performance.now();

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
    for (const row of rowsNamed('all')) console.log(`${row.name.padEnd(30)}${aimText(row).padEnd(42)} ${row.title}`);
    return;
  }
  const rows = rowsNamed(names);
  const wanted = new Set(rows.flatMap((row) => row.servers));
  await using started = await startServers(wanted, say);
  const bench = started.bench(isQuick);
  // Whoever waits for the client hears that it ended, and nothing is left to wait for.
  stopping.signal.addEventListener('abort', () => void bench.client[Symbol.asyncDispose]());
  const probes: Probe[] = [];
  const measured: RowResult[] = [];
  const about = {
    at: new Date().toISOString(),
    commit: commitNow(),
    machine: machine(),
    servers: describe(bench.servers),
    isQuick,
  };
  const results = (): BenchResults => {
    const far = farRow(measured);
    const tookSeconds = (performance.now() - startedAt) / 1000;
    return { ...about, probes, tookSeconds, rows: far === null ? measured : [...measured, far] };
  };
  const { missing } = started;
  for (const row of rows) {
    measured.push(
      await measureRow(row, { bench, rounds, isExact, withFar, probes, missing, signal: stopping.signal, say }),
    );
    // After each row: who stops a long run keeps what was measured.
    write(results());
  }
  report(results());
}

function describe(servers: ReadonlyMap<ServerName, MailServer>): Readonly<Record<string, string>> {
  return Object.fromEntries([...servers].map(([name, { description }]) => [name, description]));
}

function fileOf({ at }: BenchResults): string {
  return path.join('bench-results', `${at.replaceAll(':', '-').slice(0, 19)}.json`);
}

function write(results: BenchResults): void {
  mkdirSync('bench-results', { recursive: true });
  writeFileSync(fileOf(results), `${JSON.stringify(results, null, 1)}\n`);
}

function report(results: BenchResults): void {
  const { rows } = results;
  if (results.isQuick) console.log('A quick look: mailboxes and times are a fraction of what the titles say.\n');
  console.log(formatTable(rows));
  console.log('');
  for (const row of rows) for (const remark of row.remarks) console.log(`${row.name}: ${remark}`);
  const found = doubts(results.probes, rows);
  console.log(found.length === 0 ? 'The machine was quiet.' : 'The machine was too noisy to trust single figures:');
  for (const doubt of found) console.log(`- ${doubt}`);
  const { met, missed, open } = verdicts(rows);
  console.log(`\nAims: ${met.length} met, ${list(missed, 'missed')}, ${list(open, 'without a figure')}.`);
  const failed = rows.filter(({ failed: servers }) => servers.length > 0);
  if (failed.length > 0) {
    console.log(`Failed: ${failed.map((row) => `${row.name} (${row.failed.join(', ')})`).join('; ')}.`);
    process.exitCode = 1;
  }
  console.log(`It took ${Math.round(results.tookSeconds / 6) / 10} minutes; written to ${fileOf(results)}.`);
}

function list(names: readonly string[], what: string): string {
  return names.length === 0 ? `none ${what}` : `${names.length} ${what} (${names.join(', ')})`;
}
