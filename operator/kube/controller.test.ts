import { Registry } from 'prom-client';
import { expect, test, vi } from 'vitest';
import { systemClock } from '#shared/base/clock.ts';
import { kubeMetricTable } from '#shared/observe/kube-metrics.ts';
import { createMetricsOf } from '#shared/observe/metric-table.ts';
import { silentLogger } from '#shared/observe/logger.ts';
import { Controller, TerminalError, type ControllerOptions } from './controller.ts';
import { KubeError } from './kube-error.ts';

const metrics = createMetricsOf(kubeMetricTable, new Registry());

function open(reconcile: ControllerOptions['reconcile'], workers = 2): Controller {
  metrics.reconciles.reset();
  metrics.reconcilePanics.reset();
  metrics.reconcileErrors.reset();
  metrics.terminalReconcileErrors.reset();
  const controller = new Controller({
    name: 'test',
    workers,
    reconcile,
    logger: silentLogger,
    metrics,
    clock: systemClock,
  });
  controller.start();
  return controller;
}

async function results(): Promise<Readonly<Record<string, number>>> {
  const { values } = await metrics.reconciles.get();
  return Object.fromEntries(values.map(({ labels, value }) => [String(labels.result), value]));
}

test('as many keys at a time as there are workers, and never one key twice', async () => {
  const active = new Map<string, number>();
  let most = 0;
  let done = 0;
  await using controller = open(async (key) => {
    active.set(key, (active.get(key) ?? 0) + 1);
    most = Math.max(most, active.size);
    expect(active.get(key)).toBe(1);
    await new Promise((resolve) => setImmediate(resolve));
    active.delete(key);
    done += 1;
  }, 3);
  for (let round = 0; round < 5; round += 1) {
    for (let key = 0; key < 10; key += 1) controller.enqueue(`key-${key}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await vi.waitFor(() => expect(active.size).toBe(0));
  expect(done).toBeGreaterThanOrEqual(10);
  expect(most).toBe(3);
});

test('what fails is tried again; a fault of the program too, and it is counted', async () => {
  const seen: string[] = [];
  const errors = [new Error('not now'), new TypeError('x is not a function')];
  await using controller = open(async (key) => {
    seen.push(key);
    const error = errors.shift();
    if (error) throw error;
  });
  controller.enqueue('one');
  await vi.waitFor(() => expect(seen).toEqual(['one', 'one', 'one']), { timeout: 5_000 });
  await vi.waitFor(async () => expect(await results()).toEqual({ error: 2, success: 1 }));
  expect((await metrics.reconcilePanics.get()).values[0]?.value).toBe(1);
});

test('a conflict is tried again and is no error; what cannot be mended is not tried again', async () => {
  const seen: string[] = [];
  await using controller = open(async (key) => {
    seen.push(key);
    if (key === 'spoiled') throw new TerminalError('the spec is nonsense');
    if (seen.filter((each) => each === key).length === 1) {
      throw new KubeError({ status: 409, reason: 'Conflict', message: 'modified' });
    }
  });
  controller.enqueue('spoiled');
  controller.enqueue('contended');
  await vi.waitFor(() => expect(seen).toEqual(['spoiled', 'contended', 'contended']), { timeout: 5_000 });
  expect(await results()).toEqual({ error: 1, requeue: 1, success: 1 });
  expect((await metrics.terminalReconcileErrors.get()).values[0]?.value).toBe(1);
  // Enqueued anew it is looked at again.
  controller.enqueue('spoiled');
  await vi.waitFor(() => expect(seen.at(-1)).toBe('spoiled'));
});

test('a key that asks to be looked at later is', async () => {
  let count = 0;
  await using controller = open(async () => {
    count += 1;
    if (count === 1) return { afterMs: 30 };
    return undefined;
  });
  controller.enqueue('one');
  await vi.waitFor(() => expect(count).toBe(2));
  expect(await results()).toEqual({ requeue_after: 1, success: 1 });
});

test('a stop tells what is being done, waits for it and takes no more', async () => {
  const seen: string[] = [];
  const controller = open(async (key, signal) => {
    seen.push(`begin ${key}`);
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    seen.push(`end ${key}`);
    throw signal.reason;
  }, 1);
  controller.enqueue('one');
  controller.enqueue('two');
  await vi.waitFor(() => expect(seen).toEqual(['begin one']));
  await controller.stop();
  expect(seen).toEqual(['begin one', 'end one']);
  controller.enqueue('three');
  expect(await results()).toEqual({});
});
