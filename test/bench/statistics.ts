/** What is made of the samples of one row and server. */

export type Summary = {
  readonly median: number;
  readonly least: number;
  readonly most: number;
  readonly count: number;
};

/** Null of no samples. */
export function summarise(samples: readonly number[]): Summary | null {
  if (samples.length === 0) return null;
  const sorted = [...samples].sort((a, b) => a - b);
  return {
    median: percentile(sorted, 50),
    least: sorted[0] as number,
    most: sorted.at(-1) as number,
    count: sorted.length,
  };
}

export function median(samples: readonly number[]): number {
  return percentile(
    [...samples].sort((a, b) => a - b),
    50,
  );
}

/** Of ascending samples, with linear interpolation between neighbours; NaN of none. */
export function percentile(ascending: readonly number[], percent: number): number {
  if (ascending.length === 0) return Number.NaN;
  const place = ((ascending.length - 1) * percent) / 100;
  const below = ascending[Math.floor(place)] as number;
  const above = ascending[Math.ceil(place)] as number;
  return below + (above - below) * (place - Math.floor(place));
}

/** The widest deviation from the median, as a share of it. */
export function spread({ median: middle, least, most }: Summary): number {
  if (middle === 0) return 0;
  return Math.max(most - middle, middle - least) / middle;
}

/**
 * How many times better ours is than theirs: above 1 we win, whichever direction is better. The samples are taken
 * round by round, so the ratio is made within a round, where the machine was in the same mood, and then its median.
 */
export function ratioInRounds(
  ours: readonly (number | null)[],
  theirs: readonly (number | null)[],
  better: 'more' | 'less',
): Summary | null {
  const ratios = ours.flatMap((our, round) => {
    const their = theirs[round];
    if (our === null || their === null || their === undefined || our <= 0 || their <= 0) return [];
    return [better === 'more' ? our / their : their / our];
  });
  return summarise(ratios);
}
