import { expect, test } from 'vitest';
import { planDkimKeys, type DkimWishes, type ObservedDkimKey } from './dkim-plan.ts';

const wishes: DkimWishes = { algorithms: ['rsa2048'], rotationSeconds: 1000, overlapSeconds: 100 };
const key = (state: ObservedDkimKey['state'], secondsInState: number, selector: string = state): ObservedDkimKey => ({
  selector,
  algorithm: 'rsa2048',
  state,
  secondsInState,
});

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
] as const)('%s', (_, given, keys, actions) => {
  expect(planDkimKeys(given, keys)).toEqual(actions);
});
