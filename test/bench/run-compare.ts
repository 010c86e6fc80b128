/** `make bench-compare A=… B=…`: what changed from one file of bench-results/ to another. */
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { changedVerdicts, compare, movedRatios } from './compare.ts';
import type { BenchResults } from './results.ts';
import { figure } from './table.ts';

const [fileA, fileB] = process.argv.slice(2);
if (!fileA || !fileB) {
  console.error('Say which two: make bench-compare A=bench-results/….json B=bench-results/….json');
  process.exitCode = 64;
} else {
  print(read(fileA), read(fileB));
}

function read(file: string): BenchResults {
  return JSON.parse(readFileSync(file, 'utf8')) as BenchResults;
}

function print(before: BenchResults, after: BenchResults): void {
  console.log(`A: ${before.at} ${before.commit}${before.isQuick ? ', quick' : ''}`);
  console.log(`B: ${after.at} ${after.commit}${after.isQuick ? ', quick' : ''}\n`);
  for (const { row, server, unit, before: was, after: is, gain, isClear } of compare(before, after)) {
    const sign = isClear ? (gain > 1 ? '+' : '-') : ' ';
    const change = `${figure(was)} -> ${figure(is)} ${unit}`.padEnd(34);
    console.log(`${sign} ${row.padEnd(24)}${server.padEnd(16)}${change}${gain.toFixed(2)}x`);
  }
  console.log('\n+ and -: clearly better or worse, every sample of B beyond every sample of A.');
  const moved = movedRatios(before, after);
  console.log(moved.length === 0 ? 'All ratios agree within 25 %.' : 'Ratios that moved by over 25 %:');
  for (const { row, server, factor } of moved) console.log(`- ${row} against ${server}: by ${factor.toFixed(2)}`);
  const changed = changedVerdicts(before, after);
  console.log(changed.length === 0 ? 'Every aim fares as before.' : 'Aims that fare otherwise:');
  for (const { row, was, is } of changed) console.log(`- ${row}: ${was} -> ${is}`);
}
