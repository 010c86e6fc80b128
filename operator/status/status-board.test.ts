import { Registry } from 'prom-client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '#shared/base/clock.ts';
import { kubeMetricTable } from '#shared/observe/kube-metrics.ts';
import { silentLogger } from '#shared/observe/logger.ts';
import { createMetricsOf } from '#shared/observe/metric-table.ts';
import { mailboxes, type Mailbox } from '#operator/api/mailbox.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import type { EventNote } from '#operator/kube/event-filter.ts';
import { KubeError, kubeErrorOf } from '#operator/kube/kube-error.ts';
import type { PartReport, ResourceStatus } from './condition.ts';
import { StatusBoard } from './status-board.ts';

type Written = Mailbox & { readonly status?: ResourceStatus };

let written: ResourceStatus[];
let events: EventNote[];
let failures: Error[];
let prunes: boolean;
let board: StatusBoard;

beforeEach(() => {
  written = [];
  events = [];
  failures = [];
  prunes = false;
  const applyStatus = async (_type: unknown, object: { readonly status: ResourceStatus }): Promise<Written> => {
    const failure = failures.shift();
    if (failure) throw failure;
    written.push(object.status);
    const { unknown: _, ...known } = object.status;
    return mailbox(prunes ? known : object.status);
  };
  board = new StatusBoard({
    client: { applyStatus } as unknown as KubeClient,
    events: { record: (_about, note) => void events.push(note) },
    types: [mailboxes],
    clock: systemClock,
    logger: silentLogger,
    metrics: createMetricsOf(kubeMetricTable, new Registry()),
  });
});
afterEach(() => board[Symbol.asyncDispose]());

let version = 1;
function mailbox(status?: ResourceStatus): Written {
  version += 1;
  return {
    apiVersion: 'postrider.dev/v1alpha1',
    kind: 'Mailbox',
    metadata: {
      namespace: 'default',
      name: 'alice',
      uid: 'u1',
      resourceVersion: String(version),
      generation: 1,
      creationTimestamp: '2026-11-01T00:00:00Z',
    },
    spec: {} as Mailbox['spec'],
    ...(status && { status }),
  };
}

const holds = (...types: string[]): PartReport => ({
  generation: 1,
  conditions: types.map((type) => ({ type, status: 'True', reason: type, message: '' })),
});
const all = holds('Accepted', 'Synced', 'CredentialsReady');
/** Longer than what is written waits. */
const settled = () => new Promise((resolve) => setTimeout(resolve, 60));

test('parts that report together share a write, and the same again is none', async () => {
  const object = mailbox();
  board.report(object, 'one', holds('Accepted', 'Synced'));
  board.report(object, 'two', holds('CredentialsReady'));
  await expect.poll(() => written.length).toBe(1);
  board.report(object, 'one', holds('Accepted', 'Synced'));
  await settled();
  expect(written).toHaveLength(1);
  expect(board.counts()).toEqual([{ kind: 'Mailbox', ready: 'True', reason: 'Ready', count: 1 }]);
  expect(events).toEqual([]);
});

test('a new board over the status of the one before writes nothing', async () => {
  board.report(mailbox(), 'one', all);
  await expect.poll(() => written.length).toBe(1);
  board.forget('u1');
  board.report(mailbox(structuredClone(written[0])), 'one', all);
  await settled();
  expect(written).toHaveLength(1);
});

test('what somebody else writes into a status is put right; our own write coming back is nothing', async () => {
  board.report(mailbox(), 'one', all);
  await expect.poll(() => written.length).toBe(1);
  board.observe(mailbox(structuredClone(written[0])));
  await settled();
  expect(written).toHaveLength(1);
  board.observe(mailbox({ observedGeneration: 7, conditions: [] }));
  await expect.poll(() => written.length).toBe(2);
});

test('a field that the API server does not keep is not written again and again', async () => {
  prunes = true;
  board.report(mailbox(), 'one', { ...all, fields: { unknown: 1 } });
  await expect.poll(() => written.length).toBe(1);
  const { unknown: _, ...known } = written[0] ?? {};
  board.observe(mailbox(known));
  await settled();
  expect(written).toHaveLength(1);
});

test('a field that the API server does not know is left out, of all resources of the kind; the rest is written', async () => {
  const message = 'failed to create typed patch object (…): .status.unknown: field not declared in schema';
  failures.push(kubeErrorOf(500, message, null, 'PATCH'));
  board.report(mailbox(), 'one', { ...all, fields: { unknown: 1, known: 1 } });
  await expect.poll(() => written.length).toBe(1);
  expect(written[0]).toMatchObject({ known: 1 });
  expect(written[0]).not.toHaveProperty('unknown');
  board.observe(mailbox(structuredClone(written[0])));
  await settled();
  expect(written).toHaveLength(1);
  board.report(mailbox(written[0]), 'one', { ...all, fields: { unknown: 2, known: 2 } });
  await expect.poll(() => written.length).toBe(2);
  expect(written[1]).not.toHaveProperty('unknown');
});

test('a write that fails is tried again; a resource that is gone is forgotten', async () => {
  failures.push(new KubeError({ status: 503, reason: 'ServiceUnavailable', message: 'later' }));
  board.report(mailbox(), 'one', all);
  await expect.poll(() => written.length, { timeout: 5_000 }).toBe(1);
  failures.push(new KubeError({ status: 404, reason: 'NotFound', message: 'gone' }));
  board.report(mailbox(), 'one', { ...all, generation: 2 });
  await expect.poll(() => board.counts()).toEqual([]);
});

test('what breaks is an event once it is written', async () => {
  const failing = { type: 'Synced', status: 'False', reason: 'Conflict', message: 'taken' } as const;
  board.report(mailbox(), 'one', { generation: 1, conditions: [failing] });
  await expect.poll(() => events).toEqual([{ type: 'Warning', reason: 'Conflict', message: 'taken' }]);
});
