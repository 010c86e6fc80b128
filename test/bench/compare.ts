/** What changed between two runs, row by row. */
import { far } from './far.ts';
import { roundsOf, type BenchResults, type RowResult } from './results.ts';
import { median, ratioInRounds, summarise } from './statistics.ts';
import { loop, ours, verdictOf, type Verdict } from './verdict.ts';

/** Two runs agree when the ratios of ours to theirs moved by no more than this factor. */
const agreeingFactor = 1.25;

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
  return inBoth(before, after).flatMap(({ earlier, row }) =>
    Object.keys(row.samples).flatMap((server) => differenceOf(earlier, row, server)),
  );
}

function differenceOf(earlier: RowResult, row: RowResult, server: string): readonly Difference[] {
  const before = summarise(valuesOf(earlier, server));
  const after = summarise(valuesOf(row, server));
  if (before === null || after === null || before.median === 0 || after.median === 0) return [];
  const gain = row.better === 'more' ? after.median / before.median : before.median / after.median;
  const isClear = after.least > before.most || after.most < before.least;
  return [{ row: row.name, server, unit: row.unit, before: before.median, after: after.median, gain, isClear }];
}

/** Ratios that the two runs do not agree about: ours to theirs, and those of rows that are ratios themselves. */
export function movedRatios(
  before: BenchResults,
  after: BenchResults,
): readonly { readonly row: string; readonly server: string; readonly factor: number }[] {
  const all = inBoth(before, after).flatMap(({ earlier, row }) => {
    const others = Object.keys(row.samples).filter((server) => ![ours, loop, far].includes(server));
    const against = others.map((server) => ({ server, factor: ratioMoved(earlier, row, server) }));
    const own = row.unit === 'x' ? [{ server: ours, factor: valueMoved(earlier, row) }] : [];
    return [...own, ...against].map(({ server, factor }) => ({ row: row.name, server, factor: factor ?? 1 }));
  });
  return all.filter(({ factor }) => factor > agreeingFactor);
}

export function changedVerdicts(
  before: BenchResults,
  after: BenchResults,
): readonly { readonly row: string; readonly was: Verdict; readonly is: Verdict }[] {
  return inBoth(before, after)
    .map(({ earlier, row }) => ({ row: row.name, was: verdictOf(earlier), is: verdictOf(row) }))
    .filter(({ was, is }) => was !== is);
}

function inBoth(before: BenchResults, after: BenchResults) {
  return after.rows.flatMap((row) => {
    const earlier = before.rows.find(({ name }) => name === row.name);
    return earlier === undefined ? [] : [{ earlier, row }];
  });
}

/** How much the ratio of ours to theirs moved, as a factor of at least 1; null where one of the runs has none. */
function ratioMoved(before: RowResult, after: RowResult, theirs: string): number | null {
  const [a, b] = [before, after].map((row) => ratioInRounds(roundsOf(row, ours), roundsOf(row, theirs), row.better));
  if (!a || !b) return null;
  return Math.max(a.median / b.median, b.median / a.median);
}

function valueMoved(before: RowResult, after: RowResult): number | null {
  const [a, b] = [before, after].map((row) => valuesOf(row, ours));
  if (!a?.length || !b?.length) return null;
  return Math.max(median(a) / median(b), median(b) / median(a));
}

function valuesOf(row: RowResult, server: string): readonly number[] {
  return roundsOf(row, server).filter((value) => value !== null);
}
