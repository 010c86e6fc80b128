/** Whether a row reached its aim, by medians. */
import { unreachable } from '#shared/base/unreachable.ts';
import { roundsOf, type RowResult, type Sample } from './results.ts';
import { median, ratioInRounds } from './statistics.ts';

/** Whose figures the aims are about. */
export const ours = 'postrider';
/** Beside the rows, no competitor. */
export const loop = 'empty-loop';

/** `open`: a server that it compares with, or we, have no figure; there is nothing to say of a figure without an aim. */
export type Verdict = 'met' | 'missed' | 'open' | 'stated';

export function verdictOf(row: RowResult): Verdict {
  const { aim } = row;
  switch (aim.kind) {
    case 'stated':
      return 'stated';
    case 'bound':
      return together([boundMet(row, aim.bound), ...alsoMet(row, aim.also)]);
    case 'times':
      return together([...aim.than.map((server) => timesMet(row, server, aim.times)), ...alsoMet(row, aim.also)]);
    default:
      return unreachable(aim);
  }
}

/** The aim in words, for the table. */
export function aimText({ aim, better, unit }: Pick<RowResult, 'aim' | 'better' | 'unit'>): string {
  const also = (more: Readonly<Record<string, number>>): string =>
    Object.entries(more)
      .map(([name, most]) => `, ${name} at most ${most}`)
      .join('');
  switch (aim.kind) {
    case 'stated':
      return 'stated';
    case 'bound':
      return `at ${better === 'more' ? 'least' : 'most'} ${aim.bound} ${unit}${also(aim.also)}`;
    case 'times':
      return `${aim.times}x ${aim.than.join(' and ')}${also(aim.also)}`;
    default:
      return unreachable(aim);
  }
}

/** How many rows did what, in the order of the rows. */
export function verdicts(rows: readonly RowResult[]): Readonly<Record<Verdict, readonly string[]>> {
  const named = (verdict: Verdict): readonly string[] =>
    rows.filter((row) => verdictOf(row) === verdict).map(({ name }) => name);
  return { met: named('met'), missed: named('missed'), open: named('open'), stated: named('stated') };
}

function together(parts: readonly (boolean | null)[]): Verdict {
  if (parts.includes(false)) return 'missed';
  return parts.includes(null) ? 'open' : 'met';
}

function timesMet(row: RowResult, server: string, factor: number): boolean | null {
  const ratio = ratioInRounds(roundsOf(row, ours), roundsOf(row, server), row.better);
  return ratio === null ? null : ratio.median >= factor;
}

function boundMet(row: RowResult, limit: number): boolean | null {
  const values = samplesOf(row).map(({ value }) => value);
  if (values.length === 0) return null;
  return row.better === 'more' ? median(values) >= limit : median(values) <= limit;
}

function alsoMet(row: RowResult, also: Readonly<Record<string, number>>): readonly (boolean | null)[] {
  return Object.entries(also).map(([name, most]) => {
    const values = samplesOf(row).flatMap((sample) => sample.also?.[name] ?? []);
    return values.length === 0 ? null : median(values) <= most;
  });
}

function samplesOf(row: RowResult): readonly Sample[] {
  return (row.samples[ours] ?? []).filter((sample) => sample !== null);
}
