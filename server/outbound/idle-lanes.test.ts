import { expect, test } from 'vitest';
import { MailError } from '#server/mail/mail-error.ts';
import type { LaneBatch, LaneToken, QueueLane } from '#server/mail/outbound-queue.ts';
import { IdleLanes } from './idle-lanes.ts';

const laneOf = (token: bigint): QueueLane => ({
  token: token as LaneToken,
  hop: { route: 'direct', domain: 'd.test' },
  maxLanes: 10,
  perMinute: null,
  blockedTimes: 0,
  marks: ['-infinity', '-infinity', '-infinity'],
});
const lane = laneOf(1n);
const batch: LaneBatch = { lane: laneOf(2n), inHand: [] };
const never = new AbortController().signal;
const longMs = 60_000;

test('a lane that waits gets what has come, and is not asked for again', async () => {
  const asked: QueueLane[] = [];
  const idle = new IdleLanes((one) => {
    asked.push(one);
    return Promise.resolve(batch);
  });
  const waiting = idle.wait(lane, longMs, never);
  await idle.offer();
  expect(await waiting).toBe(batch);
  await idle.offer();
  expect(asked).toEqual([lane]);
});

test('it ends when nothing came in time, at the stop of the worker, and when its place is wanted', async () => {
  const idle = new IdleLanes(() => Promise.resolve(null));
  expect(await idle.wait(lane, 1, never)).toBeNull();
  const stop = new AbortController();
  const stopped = idle.wait(lane, longMs, stop.signal);
  const released = [idle.wait(laneOf(3n), longMs, never), idle.wait(laneOf(4n), longMs, never)];
  stop.abort();
  expect(await stopped).toBeNull();
  idle.release(1);
  expect(await released[0]).toBeNull();
  idle.release(5);
  expect(await released[1]).toBeNull();
  expect(await idle.wait(lane, longMs, stop.signal)).toBeNull();
  expect(await idle.wait(lane, 0, never)).toBeNull();
});

test('what the queue gives while its time ends is in hand, so it is worked off', async () => {
  const answer = Promise.withResolvers<LaneBatch | null>();
  const idle = new IdleLanes(() => answer.promise);
  const waiting = idle.wait(lane, longMs, never);
  const offered = idle.offer();
  idle.release(1);
  answer.resolve(batch);
  await offered;
  expect(await waiting).toBe(batch);
});

test('a lane whose time ended while the queue was asked, and had nothing, ends', async () => {
  const answer = Promise.withResolvers<LaneBatch | null>();
  const idle = new IdleLanes(() => answer.promise);
  const waiting = idle.wait(lane, longMs, never);
  const offered = idle.offer();
  idle.release(1);
  answer.resolve(null);
  await offered;
  expect(await waiting).toBeNull();
});

test('a queue that is away ends it; another error is its own', async () => {
  const errors: Error[] = [new MailError({ kind: 'unavailable' }), new Error('a bug')];
  const idle = new IdleLanes(() => Promise.reject(errors.shift()));
  const ended = idle.wait(lane, longMs, never);
  await idle.offer();
  expect(await ended).toBeNull();
  const failed = idle.wait(lane, longMs, never);
  await idle.offer();
  await expect(failed).rejects.toThrow('a bug');
});
