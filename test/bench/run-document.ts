/**
 * Puts the table of a run into docs/performance.md: `node test/bench/run-document.ts bench-results/….json [more…]`.
 * The table is the first run's; of the others those rows follow that it does not have, the newest of each.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { sectionOf } from './document.ts';
import type { BenchResults } from './results.ts';

const page = 'docs/performance.md';
const [begin, end] = ['<!-- table: begin -->', '<!-- table: end -->'];

const [first, ...others] = process.argv.slice(2);
if (first === undefined) {
  console.error('Say which run: node test/bench/run-document.ts bench-results/….json [further runs]');
  process.exitCode = 64;
} else {
  const text = readFileSync(page, 'utf8');
  const from = text.indexOf(begin) + begin.length;
  const to = text.indexOf(end);
  if (to < from) throw new Error(`${page} has no place for the table`);
  const section = sectionOf(read(first), others.map(read));
  writeFileSync(page, `${text.slice(0, from)}\n\n${section}\n\n${text.slice(to)}`);
}

function read(file: string): BenchResults {
  return JSON.parse(readFileSync(file, 'utf8')) as BenchResults;
}
