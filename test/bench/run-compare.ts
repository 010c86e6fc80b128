/** `make bench-compare A=… B=…`: what changed from one file of bench-results/ to another. */
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { compare, ratioMoved } from './compare.ts';
import type { BenchResults } from './results.ts';
import { figure } from './table.ts';
import { ours } from './verdict.ts';

/** Two runs agree when the ratios of ours to theirs moved by no more than this factor. */
const agreeingFactor = 1.25;

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
  const moved = after.rows.flatMap((row) => {
    const earlier = before.rows.find(({ name }) => name === row.name);
    return Object.keys(row.samples).flatMap((server) => {
      const factor = earlier && server !== ours ? ratioMoved(earlier, row, ours, server) : null;
      return factor !== null && factor > agreeingFactor
        ? [`${row.name} against ${server} by ${factor.toFixed(2)}`]
        : [];
    });
  });
  console.log('\n+ and -: clearly better or worse, every sample of B beyond every sample of A.');
  console.log(
    moved.length === 0 ? 'All ratios agree within 25 %.' : `Ratios that moved by over 25 %: ${moved.join(', ')}.`,
  );
}
