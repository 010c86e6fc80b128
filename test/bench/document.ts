/** What docs/performance.md says of a run, as Markdown. */
import { doubts } from './noise.ts';
import type { BenchResults, RowResult } from './results.ts';
import { formatTable } from './table.ts';
import { verdicts } from './verdict.ts';

/** The table of one run, and below it the rows that only the others have. */
export function sectionOf(main: BenchResults, others: readonly BenchResults[]): string {
  return [...runParts(main), ...furtherParts(main, others)].filter((part) => part !== '').join('\n\n');
}

function runParts({ at, commit, machine, servers, probes, rows, isQuick, tookSeconds }: BenchResults) {
  const { cores, cpu, memoryGiB, disk, kernel, node } = machine;
  const rounds = Math.max(0, ...rows.flatMap((row) => Object.values(row.samples).map((samples) => samples.length)));
  const found = doubts(probes, rows);
  return [
    `Taken ${at.slice(0, 10)} at commit ${commit} in ${Math.round(tookSeconds / 60)} minutes: ${cores} cores (${cpu}), ` +
      `${memoryGiB} GiB, ${disk}, Linux ${kernel}, Node ${node}; at most ${rounds} rounds after a ` +
      `warm-up${isQuick ? ', a quick look' : ''}.`,
    Object.entries(servers)
      .map(([name, description]) => `- ${name}: ${description}`)
      .join('\n'),
    found.length === 0 ? 'The machine was quiet.' : 'The machine was **too noisy to trust single figures**:',
    found.map((doubt) => `- ${doubt}`).join('\n'),
    summaryOf(rows),
    formatTable(rows),
    remarksOf(rows),
  ];
}

/** Rows that take too long for every run have one of their own. */
function furtherParts(main: BenchResults, others: readonly BenchResults[]): readonly string[] {
  const known = new Set(main.rows.map(({ name }) => name));
  const newest = new Map<string, { readonly row: RowResult; readonly run: BenchResults }>();
  for (const run of [...others].sort((a, b) => a.at.localeCompare(b.at))) {
    for (const row of run.rows) if (!known.has(row.name)) newest.set(row.name, { row, run });
  }
  if (newest.size === 0) return [];
  const found = [...newest.values()];
  const from = found.map(
    ({ row, run }) => `- \`${row.name}\`: ${run.at.slice(0, 16).replace('T', ' ')}, commit ${run.commit}`,
  );
  const rows = found.map(({ row }) => row);
  return ['Rows with a run of their own:', from.join('\n'), formatTable(rows), remarksOf(rows)];
}

function summaryOf(rows: readonly RowResult[]): string {
  const { met, missed, open } = verdicts(rows);
  const named = (names: readonly string[]): string =>
    names.length === 0 ? '0' : `${names.length} (${names.map((name) => `\`${name}\``).join(', ')})`;
  return `Aims met: ${met.length}; missed: ${named(missed)}; without a figure: ${named(open)}.`;
}

function remarksOf(rows: readonly RowResult[]): string {
  return rows.flatMap((row) => row.remarks.map((remark) => `- \`${row.name}\`: ${remark}`)).join('\n');
}
