/** The table as Markdown, which a terminal shows well enough. */
import { far, farFigure } from './far.ts';
import { foreignCores } from './noise.ts';
import { roundsOf, type RowResult, type Sample } from './results.ts';
import { median, ratioInRounds, spread, summarise } from './statistics.ts';
import { aimText, loop, ours, verdictOf } from './verdict.ts';

/** Three figures that count. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '-';
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en');
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

const columns = [
  'row',
  'Postrider',
  'others',
  'better by',
  'aim',
  'CPU-s ours (Node) / theirs / client',
  'memory, MiB: ours (Node) / theirs',
  'Postgres 1 ms away',
  'alone',
  'spread',
  'foreign cores',
];

export function formatTable(rows: readonly RowResult[]): string {
  const lines = rows.map((row) => `| ${cellsOf(row).join(' | ')} |`);
  return [`| ${columns.join(' | ')} |`, `|${columns.map(() => '---').join('|')}|`, ...lines].join('\n');
}

function cellsOf(row: RowResult): readonly string[] {
  const others = Object.keys(row.samples).filter((name) => name !== ours && name !== loop && name !== far);
  const spreads = [ours, ...others].flatMap((server) => {
    const summary = summarise(present(row, server).map(({ value }) => value));
    return summary === null ? [] : [`${Math.round(spread(summary) * 100)} %`];
  });
  return [
    `${row.title} (\`${row.name}\`)`,
    valueOf(row, ours),
    others.map((server) => `${server} ${valueOf(row, server)}`).join('<br>') || '-',
    others.map((server) => ratioOf(row, server)).join('<br>') || '-',
    `${aimText(row)}: ${verdictOf(row)}`,
    cpuOf(row, others[0]),
    memoryOf(row, others[0]),
    farOf(row),
    limitsOf(row),
    spreads.join(' / ') || '-',
    foreignCores(row).toFixed(2),
  ];
}

function present(row: RowResult, server: string): readonly Sample[] {
  return (row.samples[server] ?? []).filter((sample) => sample !== null);
}

function valueOf(row: RowResult, server: string): string {
  const samples = present(row, server);
  if (samples.length === 0) return '-';
  const value = `${figure(median(samples.map((sample) => sample.value)))} ${row.unit}`;
  const p99 = samples.flatMap((sample) => sample.also?.['p99 ms'] ?? []);
  return p99.length > 0 ? `${value} (${figure(median(p99))})` : value;
}

function ratioOf(row: RowResult, server: string): string {
  const ratio = ratioInRounds(roundsOf(row, ours), roundsOf(row, server), row.better);
  return ratio === null ? '-' : `${figure(ratio.median)}x (${figure(ratio.least)}-${figure(ratio.most)})`;
}

function cpuOf(row: RowResult, other: string | undefined): string {
  const mine = present(row, ours);
  const theirs = other === undefined ? [] : present(row, other);
  const medianOf = (samples: readonly Sample[], pick: (sample: Sample) => number): string =>
    samples.length === 0 ? '-' : median(samples.map(pick)).toFixed(2);
  const server = (sample: Sample): number => sample.serverCpu;
  return `${medianOf(mine, server)} (${medianOf(mine, ({ programCpu }) => programCpu)}) / ${medianOf(theirs, server)} / ${medianOf(mine, ({ clientCpu }) => clientCpu)}`;
}

/** The most that was seen in any round. */
function memoryOf(row: RowResult, other: string | undefined): string {
  const most = (server: string | undefined, pick: (sample: Sample) => number | null): string => {
    const found = server === undefined ? [] : present(row, server).flatMap((sample) => pick(sample) ?? []);
    return found.length === 0 ? '-' : Math.round(Math.max(...found)).toLocaleString('en');
  };
  const all = ({ peakPssMiB }: Sample): number | null => peakPssMiB;
  return `${most(ours, all)} (${most(ours, ({ peakProgramMiB }) => peakProgramMiB)}) / ${most(other, all)}`;
}

function farOf(row: RowResult): string {
  const away = farFigure(row);
  if (away === null) return '-';
  const trips = away.roundTrips === null ? '' : `, ${figure(away.roundTrips)} round trips each`;
  return `${figure(away.value)} ${row.unit}, ${figure(away.slower)}x slower${trips}`;
}

function limitsOf(row: RowResult): string {
  const loopValue = present(row, loop).length > 0 ? [`empty loop ${valueOf(row, loop)}`] : [];
  return (
    [...loopValue, ...Object.entries(row.limits).map(([name, value]) => `${name}: ${figure(value)}`)].join('<br>') ||
    '-'
  );
}
