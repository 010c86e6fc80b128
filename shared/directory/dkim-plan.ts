/** Which DKIM keys a domain should have. Pure: no clock, no database. */
import type { DkimAlgorithm, DkimKeyState } from '#shared/db/sending-tables.ts';

export type DkimWishes = {
  readonly algorithms: readonly DkimAlgorithm[];
  /** How long a key signs; null: as long as it is there. */
  readonly rotationSeconds: number | null;
  /** How long a key is published before it signs, and after. */
  readonly overlapSeconds: number;
};

export type ObservedDkimKey = {
  readonly selector: string;
  readonly algorithm: DkimAlgorithm;
  readonly state: DkimKeyState;
  readonly secondsInState: number;
};

export type DkimAction =
  | { readonly do: 'make'; readonly algorithm: DkimAlgorithm; readonly state: 'pending' | 'active' }
  | { readonly do: 'retire' | 'activate' | 'remove'; readonly selector: string };

/**
 * A domain's first key signs at once: as long as its record is not there, receivers take the mail for unsigned, as they
 * would without it. Actions are in the order in which they are to be done.
 */
export function planDkimKeys(wishes: DkimWishes, keys: readonly ObservedDkimKey[]): readonly DkimAction[] {
  const unwanted = keys.filter(({ algorithm }) => !wishes.algorithms.includes(algorithm));
  return [
    ...keys.flatMap((key) => (isOver(key, wishes) ? [{ do: 'remove' as const, selector: key.selector }] : [])),
    ...unwanted.flatMap(({ state, selector }): DkimAction[] => {
      if (state === 'retiring') return [];
      return [{ do: state === 'active' ? 'retire' : 'remove', selector }];
    }),
    ...wishes.algorithms.flatMap((algorithm) =>
      planAlgorithm(
        algorithm,
        wishes,
        keys.filter((key) => key.algorithm === algorithm),
      ),
    ),
  ];
}

function planAlgorithm(
  algorithm: DkimAlgorithm,
  { rotationSeconds, overlapSeconds }: DkimWishes,
  keys: readonly ObservedDkimKey[],
): readonly DkimAction[] {
  const active = keys.find(({ state }) => state === 'active');
  const pending = keys.find(({ state }) => state === 'pending');
  if (active === undefined) {
    return [pending ? { do: 'activate', selector: pending.selector } : { do: 'make', algorithm, state: 'active' }];
  }
  if (pending !== undefined) {
    if (pending.secondsInState < overlapSeconds) return [];
    return [
      { do: 'retire', selector: active.selector },
      { do: 'activate', selector: pending.selector },
    ];
  }
  const isDue = rotationSeconds !== null && active.secondsInState >= rotationSeconds;
  return isDue ? [{ do: 'make', algorithm, state: 'pending' }] : [];
}

function isOver({ state, secondsInState }: ObservedDkimKey, { overlapSeconds }: DkimWishes): boolean {
  return state === 'retiring' && secondsInState >= overlapSeconds;
}
