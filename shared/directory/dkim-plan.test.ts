import fc from 'fast-check';
import { expect, test } from 'vitest';
import { planDkimKeys, type DkimWishes, type ObservedDkimKey } from './dkim-plan.ts';

const wishes: DkimWishes = {
  algorithms: ['rsa2048'],
  rotationSeconds: 1000,
  overlapSeconds: 100,
  publication: 'assumed',
};
const seen: DkimWishes = { ...wishes, publication: 'seen' };
const key = (
  state: ObservedDkimKey['state'],
  secondsInState: number,
  secondsSeen: number | null = null,
): ObservedDkimKey => ({ selector: state, algorithm: 'rsa2048', state, secondsInState, secondsSeen });

test.each([
  ['no key yet', wishes, [], [{ do: 'make', algorithm: 'rsa2048', state: 'active' }]],
  ['a young one', wishes, [key('active', 999)], []],
  ['an old one', wishes, [key('active', 1000)], [{ do: 'make', algorithm: 'rsa2048', state: 'pending' }]],
  ['an old one that stays', { ...wishes, rotationSeconds: null }, [key('active', 1e9)], []],
  ['its successor, just published', wishes, [key('active', 1050), key('pending', 50)], []],
  [
    'its successor, published long enough',
    wishes,
    [key('active', 1100), key('pending', 100)],
    [
      { do: 'retire', selector: 'active' },
      { do: 'activate', selector: 'pending' },
    ],
  ],
  ['one that signs no more', wishes, [key('active', 99), key('retiring', 99)], []],
  ['one that may go', wishes, [key('active', 100), key('retiring', 100)], [{ do: 'remove', selector: 'retiring' }]],
  ['a pending one alone', wishes, [key('pending', 1)], [{ do: 'activate', selector: 'pending' }]],
  [
    'an algorithm that is not wanted any more',
    { ...wishes, algorithms: [] },
    [key('active', 1), key('pending', 1)],
    [
      { do: 'retire', selector: 'active' },
      { do: 'remove', selector: 'pending' },
    ],
  ],
  [
    'another algorithm',
    { ...wishes, algorithms: ['rsa2048', 'ed25519'] },
    [key('active', 1)],
    [{ do: 'make', algorithm: 'ed25519', state: 'active' }],
  ],
  ['looked at: no key yet', seen, [], [{ do: 'make', algorithm: 'rsa2048', state: 'pending' }]],
  ['a first one that the DNS has not', seen, [key('pending', 1e6)], []],
  ['a first one that it has', seen, [key('pending', 5, 0)], [{ do: 'activate', selector: 'pending' }]],
  ['a successor that it has not', seen, [key('active', 1e6), key('pending', 1e6)], []],
  ['one that it has since just now', seen, [key('active', 1100), key('pending', 200, 99)], []],
  [
    'one that it has long enough',
    seen,
    [key('active', 1100), key('pending', 200, 100)],
    [
      { do: 'retire', selector: 'active' },
      { do: 'activate', selector: 'pending' },
    ],
  ],
  [
    'one that it has longer than anybody remembers',
    { ...seen, overlapSeconds: 1e6 },
    [key('active', 1100), key('pending', 4000, 3600)],
    [
      { do: 'retire', selector: 'active' },
      { do: 'activate', selector: 'pending' },
    ],
  ],
] as const)('%s', (_, given, keys, actions) => {
  expect(planDkimKeys(given, keys)).toEqual(actions);
});

/** What becomes of the keys when all that is planned is done, and the DNS at last has what is to be published. */
function follow(given: DkimWishes, keys: readonly ObservedDkimKey[]): readonly ObservedDkimKey[] {
  const after = [...keys];
  for (const action of planDkimKeys(given, keys)) {
    if (action.do === 'make') {
      const { algorithm, state } = action;
      after.push({ selector: `s${after.length}`, algorithm, state, secondsInState: 0, secondsSeen: null });
      continue;
    }
    const at = after.findIndex(({ selector }) => selector === action.selector);
    const found = after[at];
    if (!found) throw new Error(`${action.do} ${action.selector}`);
    if (action.do === 'remove') after.splice(at, 1);
    else after[at] = { ...found, state: action.do === 'retire' ? 'retiring' : 'active', secondsInState: 0 };
  }
  return after;
}

test('never two active keys of an algorithm; none that the DNS has not becomes active; signing never stops', () => {
  const state = fc.constantFrom('pending' as const, 'active' as const, 'retiring' as const);
  const one = fc.record({
    state,
    algorithm: fc.constantFrom('rsa2048' as const, 'ed25519' as const),
    secondsInState: fc.nat(2000),
    secondsSeen: fc.option(fc.nat(2000)),
  });
  const some = fc
    .uniqueArray(one, { maxLength: 6, selector: (key) => `${key.state} ${key.algorithm}` })
    .map((keys) => keys.map((key, i) => ({ ...key, selector: `k${i}` })));
  const given = fc.record({
    algorithms: fc.subarray(['rsa2048' as const, 'ed25519' as const]),
    rotationSeconds: fc.option(fc.nat(2000)),
    overlapSeconds: fc.nat(1000),
    publication: fc.constantFrom('assumed' as const, 'seen' as const),
  });
  const actives = (keys: readonly ObservedDkimKey[], algorithm: string) =>
    keys.filter((key) => key.state === 'active' && key.algorithm === algorithm);
  fc.assert(
    fc.property(given, some, (what, keys) => {
      const after = follow(what, keys);
      for (const algorithm of ['rsa2048', 'ed25519'] as const) {
        const [active, ...more] = actives(after, algorithm);
        expect(more).toEqual([]);
        if (what.algorithms.includes(algorithm) && actives(keys, algorithm).length > 0) expect(active).toBeDefined();
        const isNew = active !== undefined && !actives(keys, algorithm).some((key) => key.selector === active.selector);
        if (isNew && what.publication === 'seen') expect(active.secondsSeen).not.toBeNull();
      }
      // Published long enough, it comes to rest.
      let settled = after;
      for (let round = 0; round < 6; round++) {
        settled = follow(
          { ...what, rotationSeconds: null },
          settled.map((key) => ({ ...key, secondsInState: 1e6, secondsSeen: 1e6 })),
        );
      }
      expect(settled.map((key) => `${key.algorithm} ${key.state}`).toSorted()).toEqual(
        what.algorithms.map((algorithm) => `${algorithm} active`).toSorted(),
      );
    }),
  );
});
