/** What a database one millisecond away costs, row by row: made from the samples of `postrider-1ms`. */
import { roundTripsEach } from './bench.ts';
import type { RowResult, Sample } from './results.ts';
import { bound } from './rows/aim.ts';
import { median } from './statistics.ts';
import { ours } from './verdict.ts';

export const far = 'postrider-1ms';
/** Rows may become this much slower. */
const mostTimes = 3;

export type FarFigure = {
  readonly value: number;
  /** Above 1: slower than with the database near by. */
  readonly slower: number;
  /** Null where they were not counted. */
  readonly roundTrips: number | null;
};

/** Null where one of the two was not measured. */
export function farFigure(row: RowResult): FarFigure | null {
  const near = present(row, ours).map(({ value }) => value);
  const [away] = present(row, far);
  if (near.length === 0 || away === undefined || away.value <= 0) return null;
  const slower = row.better === 'more' ? median(near) / away.value : away.value / median(near);
  return { value: away.value, slower, roundTrips: away.also?.[roundTripsEach] ?? null };
}

/** The row about all the others: the worst of them. Null when none was measured. */
export function farRow(rows: readonly RowResult[]): RowResult | null {
  const figures = rows.flatMap((row) => {
    const figure = farFigure(row);
    return figure === null ? [] : [{ name: row.name, figure, sample: present(row, far)[0] as Sample }];
  });
  const [worst] = figures.sort((a, b) => b.figure.slower - a.figure.slower);
  if (worst === undefined) return null;
  const over = figures.filter(({ figure }) => figure.slower > mostTimes);
  return {
    name: 'postgres-1ms',
    title: `Postgres 1 ms away: the row that suffers most (${worst.name}); ${over.length} of ${figures.length} rows are over ${mostTimes}x slower`,
    unit: 'x',
    better: 'less',
    aim: bound(mostTimes),
    samples: { [ours]: [{ ...worst.sample, value: worst.figure.slower }] },
    limits: {},
    remarks: over.length === 0 ? [] : [`over ${mostTimes}x slower: ${over.map(({ name }) => name).join(', ')}`],
    failed: [],
    tookSeconds: 0,
  };
}

function present(row: RowResult, server: string): readonly Sample[] {
  return (row.samples[server] ?? []).filter((sample) => sample !== null);
}
