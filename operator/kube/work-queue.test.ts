import fc from 'fast-check';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { kubeMetricTable } from '#shared/observe/kube-metrics.ts';
import { createMetricsOf } from '#shared/observe/metric-table.ts';
import { WorkQueue, type Priority } from './work-queue.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const clock = { now: () => new Date(), monotonicMs: () => performance.now() };
const metrics = () => createMetricsOf(kubeMetricTable, new Registry());
const newQueue = (): WorkQueue => new WorkQueue({ name: 'test', clock, metrics: metrics(), random: () => 1 });

/** The next key, or null when there is none now. */
async function next(queue: WorkQueue): Promise<string | null> {
  return queue.depth === 0 ? null : await queue.take();
}

describe('against a model', () => {
  /** What a queue is, said as simply as possible: an ordered list of waiting keys, and those that workers have. */
  type Model = { waiting: { key: string; priority: Priority }[]; taken: Map<string, Priority | null> };
  type Step =
    | { readonly kind: 'add'; readonly key: string; readonly priority: Priority }
    | { readonly kind: 'take' }
    | { readonly kind: 'done'; readonly at: number };

  const priorities: readonly Priority[] = ['high', 'normal', 'low'];
  const rank = (priority: Priority): number => priorities.indexOf(priority);
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({
      kind: fc.constant('add' as const),
      key: fc.constantFrom('a', 'b', 'c', 'd'),
      priority: fc.constantFrom(...priorities),
    }),
    fc.record({ kind: fc.constant('take' as const) }),
    fc.record({ kind: fc.constant('done' as const), at: fc.nat(5) }),
  );

  function add(model: Model, key: string, priority: Priority): void {
    const again = model.taken.get(key);
    if (again !== undefined) {
      model.taken.set(key, again === null || rank(priority) < rank(again) ? priority : again);
      return;
    }
    const waiting = model.waiting.find((each) => each.key === key);
    if (waiting && rank(waiting.priority) <= rank(priority)) return;
    model.waiting = [...model.waiting.filter((each) => each !== waiting), { key, priority }];
  }

  test('a key waits once, is with one worker at a time, and what came meanwhile comes back', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const queue = newQueue();
        const model: Model = { waiting: [], taken: new Map() };
        for (const step of steps) {
          if (step.kind === 'add') {
            queue.add(step.key, step.priority);
            add(model, step.key, step.priority);
          } else if (step.kind === 'take') {
            const wanted = model.waiting.toSorted((one, other) => rank(one.priority) - rank(other.priority))[0];
            expect(await next(queue)).toBe(wanted?.key ?? null);
            if (!wanted) continue;
            model.waiting = model.waiting.filter((each) => each !== wanted);
            model.taken.set(wanted.key, null);
          } else {
            const key = [...model.taken.keys()][step.at % Math.max(1, model.taken.size)];
            if (key === undefined) continue;
            queue.done(key);
            const again = model.taken.get(key);
            model.taken.delete(key);
            if (again) add(model, key, again);
          }
          expect(queue.depth).toBe(model.waiting.length);
        }
      }),
    );
  });

  test('nothing that was added is lost, whatever workers do meanwhile', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 40 }), async (keys) => {
        const queue = newQueue();
        const owed = new Set<string>();
        for (const [at, key] of keys.entries()) {
          queue.add(key);
          owed.add(key);
          if (at % 3 !== 0) continue;
          const taken = await next(queue);
          if (taken === null) continue;
          owed.delete(taken);
          // It changes while the worker has it.
          queue.add(taken);
          owed.add(taken);
          queue.done(taken);
        }
        for (let key = await next(queue); key !== null; key = await next(queue)) {
          owed.delete(key);
          queue.done(key);
        }
        expect([...owed]).toEqual([]);
      }),
    );
  });
});

test('a worker that waits gets the next key', async () => {
  const queue = newQueue();
  const taken = queue.take();
  queue.add('one');
  expect(await taken).toBe('one');
});

test('a key that is due later comes then, and the earlier of two wishes counts', async () => {
  const queue = newQueue();
  queue.addAfter('one', 1_000);
  queue.addAfter('one', 400);
  queue.addAfter('one', 5_000);
  await vi.advanceTimersByTimeAsync(399);
  expect(queue.depth).toBe(0);
  await vi.advanceTimersByTimeAsync(1);
  expect(await next(queue)).toBe('one');
  queue.done('one');
  await vi.advanceTimersByTimeAsync(10_000);
  expect(queue.depth).toBe(0);
});

test('each failure doubles the wait of that key alone, to 5 minutes at most', () => {
  const queue = newQueue();
  const waits = Array.from({ length: 12 }, () => queue.addFailed('one'));
  expect(waits.slice(0, 4)).toEqual([500, 1_000, 2_000, 4_000]);
  expect(waits.at(-1)).toBe(300_000);
  expect(queue.addFailed('another')).toBe(500);
  queue.forget('one');
  expect(queue.addFailed('one')).toBe(500);
});

test('jitter halves a wait at most', () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), fc.nat(10), (random, failures) => {
      const queue = new WorkQueue({ name: 'test', clock, metrics: metrics(), random: () => random });
      for (let count = 0; count < failures; count += 1) queue.addFailed('one');
      const wholeMs = Math.min(300_000, 500 * 2 ** failures);
      const waitMs = queue.addFailed('one');
      expect(waitMs).toBeGreaterThanOrEqual(wholeMs / 2);
      expect(waitMs).toBeLessThanOrEqual(wholeMs);
    }),
    { numRuns: 50 },
  );
});

test('a closed queue gives nothing and takes nothing', async () => {
  const queue = newQueue();
  const taken = queue.take();
  queue.addAfter('later', 100);
  queue.close();
  expect(await taken).toBe(null);
  queue.add('one');
  await vi.advanceTimersByTimeAsync(1_000);
  expect(await queue.take()).toBe(null);
  expect(vi.getTimerCount()).toBe(0);
});

test('it counts as client-go does', async () => {
  const own = metrics();
  const queue = new WorkQueue({ name: 'test', clock, metrics: own });
  queue.add('one');
  queue.add('one');
  queue.add('two');
  const depth = async () => (await own.queueDepth.get()).values[0]?.value;
  expect(await depth()).toBe(2);
  await queue.take();
  expect(await depth()).toBe(1);
  await vi.advanceTimersByTimeAsync(2_000);
  queue.observe();
  expect((await own.queueAdds.get()).values[0]?.value).toBe(2);
  expect((await own.queueLongestSeconds.get()).values[0]?.value).toBe(2);
  queue.done('one');
  queue.observe();
  expect((await own.queueUnfinishedSeconds.get()).values[0]?.value).toBe(0);
  expect((await own.queueWorkSeconds.get()).values.find(({ metricName }) => metricName?.endsWith('_sum'))?.value).toBe(
    2,
  );
});
