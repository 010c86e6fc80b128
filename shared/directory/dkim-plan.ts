/** Which DKIM keys a domain should have. Pure: no clock, no database. */
import type { DkimAlgorithm, DkimKeyState } from '#shared/db/sending-tables.ts';

export type DkimWishes = {
  readonly algorithms: readonly DkimAlgorithm[];
  /** How long a key signs; null: as long as it is there. */
  readonly rotationSeconds: number | null;
  /** How long a key is published before it signs, and after. */
  readonly overlapSeconds: number;
  /**
   * `assumed`: nobody looks into the DNS, so who is told to publish a record is believed to have done it in the overlap.
   * `seen`: a key signs when the DNS has it.
   */
  readonly publication: 'assumed' | 'seen';
};

export type ObservedDkimKey = {
  readonly selector: string;
  readonly algorithm: DkimAlgorithm;
  readonly state: DkimKeyState;
  readonly secondsInState: number;
  /** Since when the zone's own servers and resolvers have its record; null: they have not, or nobody looked. */
  readonly secondsSeen: number | null;
};

export type DkimAction =
  | { readonly do: 'make'; readonly algorithm: DkimAlgorithm; readonly state: 'pending' | 'active' }
  | { readonly do: 'retire' | 'activate' | 'remove'; readonly selector: string };

/** Seconds for which resolvers keep that there was no such record (RFC 2308 section 5), so that a new key waits for it. */
const settleSeconds = 3600;

/**
 * Where nobody looks into the DNS, a domain's first key signs at once: as long as its record is not there, receivers
 * take the mail for unsigned, as they would without it. Actions are in the order in which they are to be done.
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
  wishes: DkimWishes,
  keys: readonly ObservedDkimKey[],
): readonly DkimAction[] {
  const { rotationSeconds, publication } = wishes;
  const active = keys.find(({ state }) => state === 'active');
  const pending = keys.find(({ state }) => state === 'pending');
  if (active === undefined) {
    if (pending === undefined) return [{ do: 'make', algorithm, state: publication === 'seen' ? 'pending' : 'active' }];
    const isPublished = publication === 'assumed' || pending.secondsSeen !== null;
    return isPublished ? [{ do: 'activate', selector: pending.selector }] : [];
  }
  if (pending !== undefined) {
    if (!maySucceed(pending, wishes)) return [];
    return [
      { do: 'retire', selector: active.selector },
      { do: 'activate', selector: pending.selector },
    ];
  }
  const isDue = rotationSeconds !== null && active.secondsInState >= rotationSeconds;
  return isDue ? [{ do: 'make', algorithm, state: 'pending' }] : [];
}

/** Its predecessor is believed, so there is no hurry. */
function maySucceed(pending: ObservedDkimKey, { publication, overlapSeconds }: DkimWishes): boolean {
  if (publication === 'assumed') return pending.secondsInState >= overlapSeconds;
  return pending.secondsSeen !== null && pending.secondsSeen >= Math.min(settleSeconds, overlapSeconds);
}

function isOver({ state, secondsInState }: ObservedDkimKey, { overlapSeconds }: DkimWishes): boolean {
  return state === 'retiring' && secondsInState >= overlapSeconds;
}
