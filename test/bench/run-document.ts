/** Puts the table of a run into docs/performance.md: `node test/bench/run-document.ts bench-results/….json`. */
import { readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { doubts } from './noise.ts';
import type { BenchResults } from './results.ts';
import { formatTable } from './table.ts';

const page = 'docs/performance.md';
const [begin, end] = ['<!-- table: begin -->', '<!-- table: end -->'];

const [file] = process.argv.slice(2);
if (file === undefined) {
  console.error('Say which run: node test/bench/run-document.ts bench-results/….json');
  process.exitCode = 64;
} else {
  const text = readFileSync(page, 'utf8');
  const from = text.indexOf(begin) + begin.length;
  const to = text.indexOf(end);
  if (to < from) throw new Error(`${page} has no place for the table`);
  const results = JSON.parse(readFileSync(file, 'utf8')) as BenchResults;
  writeFileSync(page, `${text.slice(0, from)}\n\n${sectionOf(results)}\n\n${text.slice(to)}`);
}

function sectionOf({ at, commit, machine, servers, probes, rows, isQuick }: BenchResults): string {
  const { cores, cpu, memoryGiB, disk, kernel, node } = machine;
  const rounds = Math.max(0, ...rows.flatMap((row) => Object.values(row.samples).map((samples) => samples.length)));
  const found = doubts(probes, rows);
  const remarks = rows.flatMap((row) => row.remarks.map((remark) => `- \`${row.name}\`: ${remark}`));
  return [
    `Taken ${at.slice(0, 10)} at commit ${commit}: ${cores} cores (${cpu}), ${memoryGiB} GiB, ${disk}, Linux ${kernel}, ` +
      `Node ${node}; ${rounds} rounds after a warm-up${isQuick ? ', a quick look' : ''}.`,
    Object.entries(servers)
      .map(([name, description]) => `- ${name}: ${description}`)
      .join('\n'),
    found.length === 0 ? 'The machine was quiet.' : 'The machine was **too noisy to trust single figures**:',
    found.map((doubt) => `- ${doubt}`).join('\n'),
    formatTable(rows),
    remarks.join('\n'),
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}
