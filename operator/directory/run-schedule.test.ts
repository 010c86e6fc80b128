import { describe, expect, test } from 'vitest';
import { RunSchedule, type Run } from './run-schedule.ts';

let now = 0;
const clock = { monotonicMs: () => now };

/** One that has compared everything, which took `tookMs`. */
function started(tookMs = 0): RunSchedule {
  now = 0;
  const schedule = new RunSchedule(clock);
  expect(schedule.next()).toEqual({ kind: 'whole', cause: 'start' });
  schedule.compared(tookMs);
  schedule.sweepIn(300_000);
  return schedule;
}

const part = (...uids: readonly string[]): Run => ({ kind: 'part', uids: new Set(uids) });

test('everything is compared at the start, and when nothing changes from time to time', () => {
  const schedule = started();
  expect(schedule.restMs()).toBe(300_000);
  now = 300_000;
  expect(schedule.restMs()).toBe(0);
  expect(schedule.next()).toEqual({ kind: 'whole', cause: 'sweep' });
});

test('what changed is compared alone and at once; everything once it is quiet', () => {
  const schedule = started();
  schedule.touch('a');
  expect(schedule.restMs()).toBe(0);
  expect(schedule.next()).toEqual(part('a'));
  schedule.follow({ done: ['a'], left: [] });
  expect(schedule.next()).toEqual(part('a'));
  expect(schedule.restMs()).toBe(1_500);
  now = 1_000;
  schedule.touch('b');
  expect(schedule.next()).toEqual(part('b'));
  expect(schedule.restMs()).toBe(1_500);
  now = 2_500;
  expect(schedule.next()).toEqual({ kind: 'whole', cause: 'confirm' });
  schedule.sweepIn(300_000);
  expect(schedule.restMs()).toBe(300_000);
});

describe('where changes never end', () => {
  test('everything is compared after half a minute', () => {
    const schedule = started();
    for (; now < 30_000; now += 500) {
      schedule.touch('a');
      expect(schedule.next()).toEqual(part('a'));
    }
    schedule.touch('a');
    expect(schedule.next()).toEqual({ kind: 'whole', cause: 'confirm' });
    expect(schedule.restMs()).toBe(Infinity);
  });

  test('comparing everything is a fortieth of the time at most', () => {
    const schedule = started(2_000);
    schedule.touch('a');
    schedule.next();
    now = 79_999;
    schedule.touch('b');
    expect(schedule.next()).toEqual(part('b'));
    now = 80_000;
    schedule.touch('c');
    expect(schedule.next()).toEqual({ kind: 'whole', cause: 'confirm' });
  });

  test('a sweep that is due is not put off', () => {
    const schedule = started();
    now = 300_000;
    schedule.touch('a');
    expect(schedule.next()).toEqual({ kind: 'whole', cause: 'sweep' });
  });
});

test('a reason for everything takes along what was touched', () => {
  const schedule = started();
  schedule.touch('a');
  schedule.want('notify');
  schedule.want('change');
  expect(schedule.next()).toEqual({ kind: 'whole', cause: 'notify' });
  expect(schedule.restMs()).toBe(Infinity);
});

test('of many those that came first are compared first, with those that something was done for', () => {
  const schedule = started();
  const uids = Array.from({ length: 1_200 }, (_, i) => `u${i}`);
  for (const uid of uids) schedule.touch(uid);
  expect(schedule.next()).toEqual(part(...uids.slice(0, 500)));
  schedule.follow({ done: uids.slice(0, 400), left: uids.slice(400, 500) });
  expect(schedule.next()).toEqual(part(...uids.slice(0, 400), ...uids.slice(500, 600)));
});

test('after a failure everything is compared, at the next change or when it is time', () => {
  const schedule = started();
  schedule.touch('a');
  schedule.next();
  schedule.failed(1_000);
  expect(schedule.restMs()).toBe(1_000);
  schedule.touch('b');
  expect(schedule.next()).toEqual({ kind: 'whole', cause: 'change' });
  schedule.failed(2_000);
  expect(schedule.restMs()).toBe(2_000);
  now = 2_000;
  expect(schedule.next()).toEqual({ kind: 'whole', cause: 'sweep' });
  schedule.touch('c');
  expect(schedule.next()).toEqual(part('c'));
});
