import { once, EventEmitter } from 'node:events';
import { afterEach, expect, test } from 'vitest';
import { Lease } from './lease.ts';

/** A queue that answers as the test says, and a clock that stands still until the test moves it. */
class Bench {
  now = 0;
  answer: () => Promise<boolean> = () => Promise.resolve(true);
  readonly errors: unknown[] = [];
  readonly lease: Lease;
  readonly #beats = new EventEmitter();

  constructor() {
    this.lease = new Lease({
      queue: {
        heartbeat: () => {
          const answer = this.answer();
          // Heard of once the lease has, too.
          setImmediate(() => this.#beats.emit('beat'));
          return answer;
        },
      },
      clock: { now: () => new Date(0), monotonicMs: () => this.now },
      // A heartbeat every 10 ms.
      leaseSeconds: 0.05,
      onError: (error) => this.errors.push(error),
    });
  }

  async beat(at: number): Promise<void> {
    this.now = at;
    // One may be under way that began before.
    await once(this.#beats, 'beat');
    await once(this.#beats, 'beat');
  }
}

let bench: Bench;
afterEach(() => bench.lease.stop());

function started(): Bench {
  bench = new Bench();
  bench.lease.start(0);
  return bench;
}

test('it holds for four fifths of its time, from before the heartbeat was sent', async () => {
  const { lease } = started();
  expect(lease.isValid()).toBe(true);
  bench.now = 39;
  expect(lease.isValid()).toBe(true);
  bench.now = 40;
  expect(lease.isValid()).toBe(false);
  await bench.beat(45);
  expect(lease.isValid()).toBe(true);
});

test('nothing is taken from others before the database has answered for a whole lease without a pause', async () => {
  const { lease } = started();
  await bench.beat(30);
  await bench.beat(50);
  expect(lease.mayReap).toBe(false);
  bench.now = 51;
  expect(lease.mayReap).toBe(true);
  // An outage, and its end: who has an outcome to write comes back first.
  bench.answer = () => Promise.reject(new Error('away'));
  await bench.beat(55);
  expect(bench.errors.length).toBeGreaterThan(0);
  expect(lease.mayReap).toBe(false);
  bench.answer = () => Promise.resolve(true);
  await bench.beat(80);
  await bench.beat(110);
  bench.now = 130;
  expect(lease.mayReap).toBe(false);
  bench.now = 131;
  expect(lease.mayReap).toBe(true);
});

test('a process that stood still for longer than its lease begins to count anew', async () => {
  const { lease } = started();
  await bench.beat(30);
  await bench.beat(51);
  expect(lease.mayReap).toBe(true);
  await bench.beat(200);
  expect(lease.mayReap).toBe(false);
});

test('a queue that gave it up ends it', async () => {
  const { lease } = started();
  bench.answer = () => Promise.resolve(false);
  await once(lease.lost, 'abort');
  expect(lease.isValid()).toBe(false);
});
