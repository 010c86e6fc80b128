import fc from 'fast-check';
import { expect, test } from 'vitest';
import { seenKeys } from './dkim-condition.ts';
import type { RecordLook } from './dns-look.ts';
import type { DkimKeyRow } from './domain-rows.ts';
import { dueInMs, nextLook, readSchedule } from './look-schedule.ts';

const now = new Date('2026-11-21T12:00:00Z');

test('while something is awaited it is looked for less and less often, and never longer than the interval', () => {
  let schedule = nextLook(now, null, { isSettled: false, isSame: false, everySeconds: 3600, random: 0.5 });
  const waits: number[] = [];
  for (let i = 0; i < 8; i++) {
    const at = schedule.nextTime;
    waits.push((at.getTime() - schedule.lastTime.getTime()) / 1000);
    schedule = nextLook(at, schedule, { isSettled: false, isSame: true, everySeconds: 3600, random: 0.5 });
  }
  expect(waits).toEqual([15, 30, 60, 120, 240, 480, 600, 600]);
  const changed = nextLook(now, schedule, { isSettled: false, isSame: false, everySeconds: 3600, random: 0.5 });
  expect(changed.nextTime.getTime() - now.getTime()).toBe(15_000);
  const settled = nextLook(now, schedule, { isSettled: true, isSame: true, everySeconds: 3600, random: 0.5 });
  expect(settled.nextTime.getTime() - now.getTime()).toBe(3600_000);
});

test('a look is never further away than a tenth beyond the interval of now, whatever the status says', () => {
  const time = fc.date({ min: new Date('2026-01-01'), max: new Date('2027-01-01'), noInvalidDate: true });
  fc.assert(
    fc.property(
      time,
      time,
      fc.integer({ min: 1, max: 1e6 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (a, b, everySeconds, random) => {
        const [lastTime = a, nextTime = b] = [a, b].toSorted((x, y) => x.getTime() - y.getTime());
        const due = dueInMs({ lastTime, nextTime }, lastTime, everySeconds);
        expect(due).toBeGreaterThanOrEqual(0);
        expect(due).toBeLessThanOrEqual(everySeconds * 1100 + 1);
        const next = nextLook(
          lastTime,
          { lastTime, nextTime },
          { isSettled: random > 0.5, isSame: true, everySeconds, random },
        );
        const waitMs = next.nextTime.getTime() - next.lastTime.getTime();
        expect(waitMs).toBeGreaterThanOrEqual(1_000);
        expect(waitMs).toBeLessThanOrEqual(Math.max(1_000, everySeconds * 1100 + 1));
      },
    ),
  );
});

test.each([
  [undefined],
  [{}],
  [{ lastTime: 'x', nextTime: '2026-11-21T12:00:00Z' }],
  [{ lastTime: '2026-11-21T12:00:01Z', nextTime: '2026-11-21T12:00:00Z' }],
])('a status with %j has no schedule', (check) => {
  expect(readSchedule(check)).toBeNull();
});

const key = (selector: string, state: DkimKeyRow['state']): DkimKeyRow => {
  return { selector, algorithm: 'ed25519', state, since: now, seenSince: null, sealKeyId: 'k' };
};
function look(name: string, state: RecordLook['verdict']['state'], isEverywhere = true): RecordLook {
  const record = { name, type: 'TXT', ttlSeconds: 1, values: [], purpose: 'dkim', isRequired: true } as const;
  return { record, verdict: { state, found: [], detail: '' }, isEverywhere, texts: [] };
}
const at = (selector: string, domain: string): string => `${selector}._domainkey.${domain}`;

test.each<[string, readonly DkimKeyRow[], readonly RecordLook[], Record<string, boolean>]>([
  ['a first key', [key('n', 'pending')], [look(at('n', 'd.test'), 'Published')], { n: true }],
  ['not at resolvers yet', [key('n', 'pending')], [look(at('n', 'd.test'), 'Published', false)], { n: false }],
  ['missing', [key('n', 'pending')], [look(at('n', 'd.test'), 'Missing')], { n: false }],
  ['nobody knows', [key('n', 'pending')], [look(at('n', 'd.test'), 'Unknown')], {}],
  ['nobody looked', [key('n', 'pending')], [], {}],
  ['one that retires', [key('n', 'retiring')], [look(at('n', 'd.test'), 'Published')], {}],
  [
    'an alias domain that nobody set up',
    [key('o', 'active'), key('n', 'pending')],
    [
      look(at('o', 'd.test'), 'Published'),
      look(at('n', 'd.test'), 'Published'),
      look(at('o', 'alias.test'), 'Missing'),
      look(at('n', 'alias.test'), 'Missing'),
    ],
    { o: true, n: true },
  ],
  [
    'an alias domain that has the old key and not the new one',
    [key('o', 'active'), key('n', 'pending')],
    [
      look(at('o', 'd.test'), 'Published'),
      look(at('n', 'd.test'), 'Published'),
      look(at('o', 'alias.test'), 'Published'),
      look(at('n', 'alias.test'), 'Missing'),
    ],
    { o: true, n: false },
  ],
])('a key is seen: %s', (_, keys, looks, expected) => {
  expect(Object.fromEntries(seenKeys('d.test', ['alias.test'], keys, looks))).toEqual(expected);
});
