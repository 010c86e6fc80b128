/** What changed between two runs, row by row. */
import type { BenchResults, RowResult } from './results.ts';
import { ratioInRounds, summarise } from './statistics.ts';

export type Difference = {
  readonly row: string;
  readonly server: string;
  readonly unit: string;
  readonly before: number;
  readonly after: number;
  /** Above 1: better than before. */
  readonly gain: number;
  /** Whether all samples of one run lie on one side of all of the other. */
  readonly isClear: boolean;
};

/** Rows and servers that both runs have, in the order of the second. */
export function compare(before: BenchResults, after: BenchResults): readonly Difference[] {
  return after.rows.flatMap((row) => {
    const earlier = before.rows.find(({ name }) => name === row.name);
    return earlier === undefined
      ? []
      : Object.keys(row.samples).flatMap((server) => differenceOf(earlier, row, server));
  });
}

function differenceOf(earlier: RowResult, row: RowResult, server: string): readonly Difference[] {
  const before = summarise(valuesOf(earlier, server));
  const after = summarise(valuesOf(row, server));
  if (before === null || after === null || before.median === 0 || after.median === 0) return [];
  const gain = row.better === 'more' ? after.median / before.median : before.median / after.median;
  const isClear = after.least > before.most || after.most < before.least;
  return [{ row: row.name, server, unit: row.unit, before: before.median, after: after.median, gain, isClear }];
}

/** How much the ratio of ours to theirs moved, as a factor of at least 1; null where one of the runs has none. */
export function ratioMoved(before: RowResult, after: RowResult, ours: string, theirs: string): number | null {
  const [a, b] = [before, after].map((row) => ratioInRounds(roundsOf(row, ours), roundsOf(row, theirs), row.better));
  if (!a || !b) return null;
  return Math.max(a.median / b.median, b.median / a.median);
}

function valuesOf(row: RowResult, server: string): readonly number[] {
  return roundsOf(row, server).filter((value) => value !== null);
}

export function roundsOf(row: RowResult, server: string): readonly (number | null)[] {
  return (row.samples[server] ?? []).map((sample) => sample?.value ?? null);
}
