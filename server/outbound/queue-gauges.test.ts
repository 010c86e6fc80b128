import { expect, test } from 'vitest';
import { createMetrics } from '#shared/observe/metrics.ts';
import { keepCounting } from './queue-gauges.ts';

type Answer = { readonly tookMs: number; readonly recipients: number } | Error;

/** Counts until there is no answer left; what /metrics says and how long it rests after each count. */
async function countAll(answers: readonly Answer[]): Promise<readonly { readonly depth: number; restMs: number }[]> {
  const left = [...answers];
  const metrics = createMetrics();
  const over = new AbortController();
  const seen: { depth: number; restMs: number }[] = [];
  let now = 0;
  await keepCounting(
    {
      metrics,
      clock: { monotonicMs: () => now },
      random: () => 0.5,
      logger: { debug: () => undefined },
      statistics: {
        statistics() {
          const answer = left.shift();
          if (answer === undefined || answer instanceof Error) return Promise.reject(answer ?? new Error('too often'));
          const { tookMs, recipients } = answer;
          now += tookMs;
          const group = { state: 'queued', priority: 'normal', route: 'relay', recipients, oldestSeconds: 1 } as const;
          return Promise.resolve({ groups: recipients === 0 ? [] : [group] });
        },
      },
      async pause(restMs) {
        now += restMs;
        const text = await metrics.registry.metrics();
        const depths = text.matchAll(/^postrider_queue_depth\{[^}]*\} (\d+)$/gm);
        seen.push({ depth: Array.from(depths, ([, value]) => Number(value)).reduce((a, b) => a + b, 0), restMs });
        if (left.length === 0) over.abort();
      },
    },
    over.signal,
  );
  return seen;
}

test('a short queue is counted every five seconds', async () => {
  const answers = [0, 60, 20, 0].map((recipients) => ({ tookMs: 3, recipients }));
  expect(await countAll(answers)).toEqual([0, 60, 20, 0].map((depth) => ({ depth, restMs: 5_000 })));
});

test('a long one as often as a hundredth of the time is enough for, and at least once a minute', async () => {
  const answers = [100, 200, 2_000].map((tookMs) => ({ tookMs, recipients: 1_000_000 }));
  expect((await countAll(answers)).map(({ restMs }) => restMs)).toEqual([9_900, 19_800, 60_000]);
});

test('a count that fails leaves what was counted before', async () => {
  const answers = [{ tookMs: 3, recipients: 7 }, new Error('the database is away'), { tookMs: 3, recipients: 8 }];
  expect((await countAll(answers)).map(({ depth }) => depth)).toEqual([7, 7, 8]);
});
