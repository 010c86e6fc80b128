/** What the client promises, on any API server. */
import { performance } from 'node:perf_hooks';
import { expect, test } from 'vitest';
import { secrets } from '#operator/kube/core-resources.ts';
import {
  isAlreadyExists,
  isConflict,
  isExpired,
  isNotFound,
  isTooManyRequests,
  isUnreachable,
  KubeError,
} from '#operator/kube/kube-error.ts';
import { forEachBounded } from '#shared/base/bounded.ts';
import { TestBed, things, type ServerUnderTest } from './server-under-test.ts';

/** What `work` fails with. */
async function failureOf(work: Promise<unknown>): Promise<unknown> {
  return await work.then(
    () => null,
    (error: unknown) => error,
  );
}

async function readAll(events: AsyncIterable<unknown>): Promise<void> {
  for await (const event of events) void event;
}

const answer = (status: number, retryAfter?: number) =>
  ({ kind: 'answer', status, ...(retryAfter !== undefined && { retryAfter }) }) as const;

export function clientContract(server: () => ServerUnderTest): void {
  test('an object is made, read, changed and deleted; what is not there is said by status', async () => {
    await using bed = await TestBed.open(server());
    const made = await bed.client.create(things, bed.thing('one', { size: 1 }));
    expect(made.metadata).toMatchObject({ name: 'one', namespace: bed.namespace, generation: 1 });
    expect(await bed.client.get(things, bed.at('one'))).toEqual(made);
    expect(isAlreadyExists(await failureOf(bed.client.create(things, bed.thing('one'))))).toBe(true);

    const changed = await bed.client.patchMerge(things, bed.at('one'), { spec: { size: 2 } });
    expect(changed.spec).toEqual({ size: 2 });
    expect(changed.metadata.generation).toBe(2);
    const { resourceVersion } = made.metadata;
    const stale = bed.client.patchMerge(things, bed.at('one'), { spec: { size: 3 } }, { resourceVersion });
    expect(isConflict(await failureOf(stale))).toBe(true);

    expect(isConflict(await failureOf(bed.client.delete(things, bed.at('one'), { uid: 'another' })))).toBe(true);
    expect(await bed.client.delete(things, bed.at('one'), { uid: made.metadata.uid })).toBe(true);
    expect(await bed.client.delete(things, bed.at('one'))).toBe(false);
    const missing = await failureOf(bed.client.get(things, bed.at('one')));
    expect(isNotFound(missing)).toBe(true);
    expect(missing).toMatchObject({ status: 404, reason: 'NotFound' });
    expect((missing as Error).message).toContain('"one" not found');
  });

  test('a finalizer holds an object until it is taken off', async () => {
    await using bed = await TestBed.open(server());
    const thing = bed.thing('held');
    const metadata = { ...thing.metadata, finalizers: ['test.postrider.dev/hold'] };
    await bed.client.create(things, { ...thing, metadata });
    await bed.client.delete(things, bed.at('held'));
    expect((await bed.client.get(things, bed.at('held'))).metadata.deletionTimestamp).toMatch(/^\d{4}-.*Z$/);
    await bed.client.patchMerge(things, bed.at('held'), { metadata: { finalizers: null } });
    expect(isNotFound(await failureOf(bed.client.get(things, bed.at('held'))))).toBe(true);
  });

  test('a list is read in pages, each asked for once, and filtered by the server', async () => {
    await using bed = await TestBed.open(server(), { pageSize: 3 });
    const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
    for (const [at, name] of names.entries()) {
      await bed.direct.create(things, bed.thing(name, {}, { side: at % 2 === 0 ? 'left' : 'right' }));
    }
    const { items, resourceVersion } = await bed.client.list(things, { namespace: bed.namespace });
    expect(items.map(({ metadata }) => metadata.name)).toEqual(names);
    expect(items.every(({ kind, apiVersion }) => kind === 'Thing' && apiVersion === 'test.postrider.dev/v1')).toBe(
      true,
    );
    expect(bed.proxy.seen.length).toBe(3);
    expect(Number(resourceVersion)).toBeGreaterThan(0);
    const left = await bed.client.list(things, { namespace: bed.namespace, labelSelector: 'side=left' });
    expect(left.items.map(({ metadata }) => metadata.name)).toEqual(['a', 'c', 'e', 'g']);
    const one = await bed.client.list(things, { namespace: bed.namespace, fieldSelector: 'metadata.name=b' });
    expect(one.items.length).toBe(1);
  });

  test('a list whose pages expire is read again as a whole', async () => {
    await using bed = await TestBed.open(server(), { pageSize: 2 });
    for (const name of ['a', 'b', 'c', 'd', 'e']) await bed.direct.create(things, bed.thing(name));
    bed.proxy.rule(({ path }) => (path.includes('continue=') ? answer(410) : null));
    const { items } = await bed.client.list(things, { namespace: bed.namespace });
    expect(items.length).toBe(5);
  });

  test('only the metadata is sent when only that is asked for', async () => {
    await using bed = await TestBed.open(server());
    const metadata = { name: 'keys', namespace: bed.namespace };
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata, stringData: { password: 'sesame' } };
    expect((await bed.client.create(secrets, secret)).data).toEqual({ password: 'c2VzYW1l' });
    const { items } = await bed.client.list(secrets, { namespace: bed.namespace, metadataOnly: true });
    expect(items).toMatchObject([{ kind: 'Secret', apiVersion: 'v1', metadata }]);
    expect(JSON.stringify(items)).not.toContain('c2VzYW1l');
  });

  test('what failed is asked again, and what may have happened is not made twice', async () => {
    await using bed = await TestBed.open(server());
    const failures = [answer(500), answer(503), { kind: 'cut' } as const];
    bed.proxy.rule(() => failures.shift() ?? null);
    await bed.client.apply(things, bed.thing('kept'));
    expect(bed.proxy.seen.length).toBe(4);

    bed.proxy.rule(({ method }) => (method === 'POST' ? answer(500) : null));
    expect(await failureOf(bed.client.create(things, bed.thing('new')))).toMatchObject({ status: 500 });
    bed.proxy.rule(({ method }) => (method === 'POST' ? { kind: 'cutAfter' } : null));
    expect(isUnreachable(await failureOf(bed.client.create(things, bed.thing('new'))))).toBe(true);
    bed.proxy.rule(null);
    // It had happened: who asks again is told so.
    expect(isAlreadyExists(await failureOf(bed.client.create(things, bed.thing('new'))))).toBe(true);
  });

  test('a delete whose answer is lost has happened', async () => {
    await using bed = await TestBed.open(server());
    await bed.client.create(things, bed.thing('gone'));
    const faults = [{ kind: 'cutAfter' } as const];
    bed.proxy.rule(() => faults.shift() ?? null);
    expect(await bed.client.delete(things, bed.at('gone'))).toBe(false);
  });

  test('a server that asks for patience gets it, for everything', async () => {
    await using bed = await TestBed.open(server());
    const failures = [answer(429, 1)];
    bed.proxy.rule(() => failures.shift() ?? null);
    const startedAt = performance.now();
    await bed.client.create(things, bed.thing('late'));
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(1_000);
    expect(bed.proxy.seen.length).toBe(2);
    bed.proxy.rule(() => answer(429, 3_600));
    expect(await failureOf(bed.client.get(things, bed.at('late')))).toMatchObject({ retryAfterSeconds: 3_600 });
    expect(isTooManyRequests(await failureOf(bed.client.get(things, bed.at('late'))))).toBe(true);
  });

  test('a server that does not answer is given up at the deadline', async () => {
    await using bed = await TestBed.open(server());
    bed.proxy.rule(() => ({ kind: 'hang' }));
    const failure = await failureOf(bed.client.get(things, bed.at('any'), { deadlineMs: 300 }));
    expect(failure).toMatchObject({ name: 'KubeError', status: 0, reason: 'Timeout' });
    const aborted = bed.client.get(things, bed.at('any'), { signal: AbortSignal.timeout(100) });
    expect(await failureOf(aborted)).toMatchObject({ name: 'TimeoutError' });
  });

  test('an answer that stops in the middle is given up at the deadline', async () => {
    await using bed = await TestBed.open(server());
    bed.proxy.rule(() => ({ kind: 'stall' }));
    const failure = await failureOf(bed.client.get(things, bed.at('any'), { deadlineMs: 300 }));
    expect(failure).toMatchObject({ name: 'KubeError', status: 0, reason: 'Timeout' });
    const watch = bed.client.watch(things, { namespace: bed.namespace, resourceVersion: '1', idleMs: 300 });
    expect(await failureOf(readAll(watch))).toMatchObject({ name: 'KubeError', status: 0 });
  });

  test('when everything fails, what is asked again is bounded', async () => {
    await using bed = await TestBed.open(server());
    bed.proxy.rule(() => answer(500));
    await forEachBounded(Array.from({ length: 200 }), 50, async () => {
      expect(await failureOf(bed.client.get(things, bed.at('any')))).toBeInstanceOf(KubeError);
    });
    expect(bed.proxy.seen.length).toBeLessThanOrEqual(280);
  });

  test('hundreds of requests go over a few connections', async () => {
    await using bed = await TestBed.open(server(), { connections: 4 });
    await bed.client.create(things, bed.thing('one'));
    await forEachBounded(Array.from({ length: 400 }), 50, async () => {
      await bed.client.get(things, bed.at('one'));
    });
    expect(bed.proxy.opened).toBeLessThanOrEqual(4);
    expect(await bed.metric('requests', { code: '200', method: 'GET' })).toBe(400);
  });

  test('no more requests a second than were agreed', async () => {
    await using bed = await TestBed.open(server(), { rate: { perSecond: 50, burst: 10 } });
    await bed.client.create(things, bed.thing('one'));
    const startedAt = performance.now();
    await forEachBounded(Array.from({ length: 59 }), 59, async () => {
      await bed.client.get(things, bed.at('one'));
    });
    // 10 at once, the other 50 at 50 a second.
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(950);
  });

  test('two managers of a status keep each its own condition', async () => {
    await using bed = await TestBed.open(server());
    await bed.client.create(things, bed.thing('shared', { size: 1 }));
    const status = (conditions: readonly unknown[], more: object = {}) => {
      const { apiVersion, kind, metadata } = bed.thing('shared');
      const { name, namespace } = metadata;
      return {
        apiVersion,
        kind,
        metadata: { name, namespace: namespace ?? '' },
        spec: {},
        status: { conditions, ...more },
      };
    };
    const withoutSpec = ({ spec: _spec, ...rest }: ReturnType<typeof status>) => rest as ReturnType<typeof status>;
    const apply = async (fieldManager: string, conditions: readonly unknown[], more: object = {}) =>
      await bed.client.applyStatus(things, withoutSpec(status(conditions, more)), { fieldManager });
    const ready = { type: 'Ready', status: 'True', reason: 'Fine' };
    const known = { type: 'Known', status: 'False', reason: 'Unseen' };
    await apply('one', [ready], { phase: 'up' });
    const both = await apply('other', [known]);
    expect(both.status?.conditions).toEqual([ready, known]);
    expect(both.metadata.generation).toBe(1);
    expect(both.spec).toEqual({ size: 1 });

    await apply('one', [{ ...ready, status: 'False', reason: 'Broken' }]);
    const after = await bed.client.get(things, bed.at('shared'));
    // What a manager had set and sets no more is gone; what the other has set is as it was.
    expect(after.status).toEqual({ conditions: [{ ...ready, status: 'False', reason: 'Broken' }, known] });
    await apply('one', []);
    expect((await bed.client.get(things, bed.at('shared'))).status?.conditions).toEqual([known]);
  });

  test('a field of another manager is taken only by force', async () => {
    await using bed = await TestBed.open(server());
    await bed.client.apply(things, bed.thing('one', { colour: 'red' }), { fieldManager: 'one' });
    const blue = bed.thing('one', { colour: 'blue' });
    const polite = bed.client.apply(things, blue, { fieldManager: 'other', force: false });
    expect(isConflict(await failureOf(polite))).toBe(true);
    const forced = await bed.client.apply(things, blue, { fieldManager: 'other' });
    expect(forced.spec).toEqual({ colour: 'blue' });
    expect(forced.metadata.generation).toBe(2);
  });

  test('applying what is there already changes nothing', async () => {
    await using bed = await TestBed.open(server());
    const first = await bed.client.apply(things, bed.thing('same', { size: 7 }));
    const second = await bed.client.apply(things, bed.thing('same', { size: 7 }));
    expect(second.metadata.resourceVersion).toBe(first.metadata.resourceVersion);
  });

  test('a watch tells what happens, in order, and where it is when nothing happens', async () => {
    await using bed = await TestBed.open(server());
    const { resourceVersion } = await bed.client.list(things, { namespace: bed.namespace });
    await bed.client.create(things, bed.thing('one'));
    await bed.client.patchMerge(things, bed.at('one'), { spec: { size: 2 } });
    await bed.client.patchMerge(things, bed.at('one'), { spec: { size: 3 } });
    await bed.client.delete(things, bed.at('one'));
    await using other = await TestBed.open(server());
    let elsewhere = '';
    const events: string[] = [];
    let bookmark = '0';
    const options = { namespace: bed.namespace, resourceVersion, timeoutSeconds: 5 };
    for await (const event of bed.client.watch(things, options)) {
      if (event.type === 'BOOKMARK') {
        bookmark = event.resourceVersion;
        continue;
      }
      if (event.type === 'DELETED')
        elsewhere = (await other.client.create(things, other.thing('a'))).metadata.resourceVersion;
      events.push(`${event.type} ${event.object.metadata.name} ${event.object.spec.size ?? '-'}`);
    }
    expect(events).toEqual(['ADDED one -', 'MODIFIED one 2', 'MODIFIED one 3', 'DELETED one 3']);
    // What happened where the watch does not look moves it on too.
    expect(Number(bookmark)).toBeGreaterThanOrEqual(Number(elsewhere));
  });

  test('a watch on which nothing is heard is given up', async () => {
    await using bed = await TestBed.open(server());
    const { resourceVersion } = await bed.client.list(things, { namespace: bed.namespace });
    const watch = bed.client.watch(things, { namespace: bed.namespace, resourceVersion, idleMs: 200 });
    expect(await failureOf(readAll(watch))).toMatchObject({ status: 0, reason: 'Idle' });
  });

  test('a version that the server has forgotten is said to have expired', async () => {
    await using bed = await TestBed.open(server());
    bed.proxy.rule(({ isWatch }) => (isWatch ? answer(410) : null));
    const watch = bed.client.watch(things, { namespace: bed.namespace, resourceVersion: '1' });
    expect(isExpired(await failureOf(readAll(watch)))).toBe(true);
  });
}
