/** What informers promise, on any API server: whatever happens, in the end the cache is as the server has it. */
import { expect, test, vi } from 'vitest';
import { secrets } from '#operator/kube/core-resources.ts';
import { Informer } from '#operator/kube/informer.ts';
import type { Change } from '#operator/kube/object-store.ts';
import type { ResourceType, Writable } from '#operator/kube/resource.ts';
import { applyCrd } from '../harness/kube-apiserver.ts';
import type { Fault, Seen, WatchFault } from './fault-proxy.ts';
import { TestBed, testCrd, things, type ServerUnderTest, type Thing } from './server-under-test.ts';

const within = { timeout: 25_000, interval: 20 };

/** What a listener believes there is, from nothing but the changes it heard. */
class Replica {
  readonly objects = new Map<string, Thing>();
  readonly hear = (change: Change<Thing>): void => {
    const { uid } = change.object.metadata;
    // A change that does not fit what was heard before would be a bug of the informer.
    if (change.kind === 'added') expect(this.objects.has(uid)).toBe(false);
    else expect(this.objects.has(uid)).toBe(true);
    if (change.kind === 'changed') expect(this.objects.get(uid)).toBe(change.old);
    if (change.kind === 'deleted') this.objects.delete(uid);
    else this.objects.set(uid, change.object);
  };
}

const facts = (objects: Iterable<Thing>): readonly string[] =>
  [...objects].map(({ metadata, spec }) => `${metadata.uid} ${metadata.resourceVersion} ${spec.size}`).toSorted();

async function untilSame(bed: TestBed, informer: Informer<Thing>, replica: Replica): Promise<void> {
  await vi.waitFor(async () => {
    const { items } = await bed.direct.list(things, { namespace: bed.namespace });
    expect(facts(informer.items())).toEqual(facts(items));
  }, within);
  expect(facts(replica.objects.values())).toEqual(facts(informer.items()));
}

/** Some of everything that can happen to objects. */
async function changeAll(bed: TestBed, round: string): Promise<void> {
  await bed.direct.create(things, bed.thing(`new-${round}`, { size: 1 }));
  await bed.direct.patchMerge(things, bed.at('changed'), { spec: { size: Number(round) } });
  await bed.direct.delete(things, bed.at('replaced'));
  await bed.direct.create(things, bed.thing('replaced', { size: 100 + Number(round) }));
  await bed.direct.create(things, bed.thing(`short-${round}`));
  await bed.direct.delete(things, bed.at(`short-${round}`));
}

/** Fails the first `times` requests that `fits`. */
function failing(fits: (request: Seen) => boolean, times: number, fault: Fault): (request: Seen) => Fault | null {
  let left = times;
  return (request) => {
    if (!fits(request) || left === 0) return null;
    left -= 1;
    return fault;
  };
}

const isWatch = ({ isWatch }: Seen): boolean => isWatch;
const isAny = (): boolean => true;

export function informerContract(server: () => ServerUnderTest): void {
  async function opened(bed: TestBed, more = {}) {
    for (const name of ['changed', 'replaced', 'left']) await bed.direct.create(things, bed.thing(name, { size: 0 }));
    const informer = bed.informer(more);
    const replica = new Replica();
    informer.onChange(replica.hear);
    await informer.synced;
    expect(facts(replica.objects.values())).toEqual(facts(informer.items()));
    await vi.waitFor(() => expect(bed.proxy.watches).toBe(1), within);
    return { informer, replica };
  }

  test('it has all objects when it is synced, and hears of changes', async () => {
    await using bed = await TestBed.open(server(), { pageSize: 2 });
    const { informer, replica } = await opened(bed);
    expect(informer.items().length).toBe(3);
    expect(informer.isSynced).toBe(true);
    expect(informer.check()).toBe(null);
    const byColour = informer.index(({ spec }) => (spec.colour === undefined ? [] : [spec.colour]));
    await changeAll(bed, '1');
    await bed.direct.patchMerge(things, bed.at('left'), { spec: { colour: 'red' } });
    await untilSame(bed, informer, replica);
    expect(byColour.get('red').map(({ metadata }) => metadata.name)).toEqual(['left']);
    expect(byColour.get('blue')).toEqual([]);
    const one = informer.get(bed.namespace, 'left');
    expect(one && informer.byUid(one.metadata.uid)).toBe(one);
    expect(one?.metadata.managedFields).toBeUndefined();
    await bed.direct.patchMerge(things, bed.at('left'), { spec: { colour: 'blue' } });
    await vi.waitFor(() => expect(byColour.get('blue').length).toBe(1), within);
    expect(byColour.get('red')).toEqual([]);
    expect(await bed.metric('informerObjects', { kind: 'Thing' })).toBe(4);
  });

  const watchFaults: readonly WatchFault[] = ['cut', 'half', 'expired', 'failed', 'garbage', 'ended', 'silent'];
  test.each(watchFaults)('a watch that is hurt (%s) leaves nothing out', async (fault) => {
    await using bed = await TestBed.open(server());
    const { informer, replica } = await opened(bed, { idleMs: 700 });
    for (const round of ['1', '2']) {
      bed.proxy.hurtWatches(fault);
      await changeAll(bed, round);
      await untilSame(bed, informer, replica);
      await vi.waitFor(() => expect(bed.proxy.watches).toBe(1), within);
    }
    const lists = await bed.metric('informerLists', { kind: 'Thing' });
    // Only what the server has forgotten is listed again.
    expect(lists).toBe(fault === 'expired' ? 3 : 1);
  });

  const requestFaults: readonly (readonly [string, (request: Seen) => Fault | null])[] = [
    ['410 to the watch', failing(isWatch, 2, { kind: 'answer', status: 410 })],
    ['429 with Retry-After to the watch', failing(isWatch, 2, { kind: 'answer', status: 429, retryAfter: 1 })],
    ['500 to the watch, until it lists', failing(isWatch, 7, { kind: 'answer', status: 500 })],
    ['503 to everything', failing(isAny, 5, { kind: 'answer', status: 503 })],
    ['cuts of everything', failing(isAny, 5, { kind: 'cut' })],
    ['401 to everything', failing(isAny, 2, { kind: 'answer', status: 401 })],
    ['403 to everything', failing(isAny, 4, { kind: 'answer', status: 403 })],
    ['an answer that is no JSON', failing(isWatch, 1, { kind: 'answer', status: 200, body: 'hello' })],
    ['everything half a second late', failing(isAny, 4, { kind: 'delay', ms: 500 })],
  ];
  test.each(requestFaults)('%s is lived through', async (_what, rule) => {
    await using bed = await TestBed.open(server());
    const { informer, replica } = await opened(bed);
    bed.proxy.rule(rule);
    bed.proxy.hurtWatches('cut');
    await changeAll(bed, '1');
    await untilSame(bed, informer, replica);
  });

  test('it begins though the server cannot be reached, and says so', async () => {
    await using bed = await TestBed.open(server());
    bed.proxy.rule(failing(isAny, 14, { kind: 'cut' }));
    await bed.direct.create(things, bed.thing('one'));
    const informer = bed.informer();
    await vi.waitFor(() => expect(informer.check()).toMatch(/^Thing: /), within);
    expect(informer.isSynced).toBe(false);
    await informer.synced;
    expect(informer.items().length).toBe(1);
    expect(informer.check()).toBe(null);
  });

  test('a server that ends and comes back is watched again', async () => {
    await using bed = await TestBed.open(server());
    const { informer, replica } = await opened(bed);
    await server().restart();
    // What is made over a connection that is gone is not tried again.
    await bed.direct.list(things, { namespace: bed.namespace });
    await changeAll(bed, '1');
    await untilSame(bed, informer, replica);
  });

  test('what listeners throw is counted, and keeps nobody from hearing', async () => {
    await using bed = await TestBed.open(server());
    await bed.direct.create(things, bed.thing('before'));
    const informer = bed.informer();
    const heard: string[] = [];
    informer.onChange(() => {
      throw new Error('this listener throws');
    });
    const rejects: (change: unknown) => unknown = async () => {
      throw new Error('this listener rejects');
    };
    informer.onChange(rejects);
    const listening = informer.onChange(({ kind, object }) => heard.push(`${kind} ${object.metadata.name}`));
    await informer.synced;
    await bed.direct.create(things, bed.thing('after'));
    await vi.waitFor(() => expect(heard).toEqual(['added before', 'added after']), within);
    expect(await bed.metric('informerHandlerFailures', { kind: 'Thing' })).toBe(4);
    listening[Symbol.dispose]();
    await bed.direct.delete(things, bed.at('after'));
    await vi.waitFor(() => expect(informer.items().length).toBe(1), within);
    expect(heard.length).toBe(2);
  });

  test('a kind that the server does not know yet is cached when it appears', async () => {
    await using bed = await TestBed.open(server());
    const kind = `Late${Math.random().toString(36).slice(2, 8)}`;
    const late: ResourceType<Thing> = { ...things, kind, plural: `${kind.toLowerCase()}s` };
    const informer = bed.informer({ type: late });
    await vi.waitFor(() => expect(informer.isServed).toBe(false), within);
    expect(informer.check()).toBe(`${kind}: the API server does not know this kind`);
    await applyCrd(bed.direct, testCrd(late));
    const one: Writable<Thing> = { ...bed.thing('one'), kind };
    await bed.direct.create(late, one);
    await informer.synced;
    expect(informer.isServed).toBe(true);
    await vi.waitFor(() => expect(informer.items().length).toBe(1), within);
  });

  test('only metadata is kept where only that is asked for', async () => {
    await using bed = await TestBed.open(server());
    const metadata = { name: 'keys', namespace: bed.namespace };
    const { client, namespace, options } = bed;
    const informer = bed.use(Informer.open({ ...options, client, type: secrets, namespace, metadataOnly: true }));
    await informer.synced;
    await bed.direct.create(secrets, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata,
      stringData: { password: 'sesame' },
    });
    await vi.waitFor(() => expect(informer.items()).toMatchObject([{ kind: 'Secret', metadata }]), within);
    expect(informer.items()[0]).not.toHaveProperty('data');
  });

  test('what a label selector leaves out is as if it was not there', async () => {
    await using bed = await TestBed.open(server());
    const informer = bed.informer({ labelSelector: 'side=left' });
    await informer.synced;
    await bed.direct.create(things, bed.thing('left', {}, { side: 'left' }));
    await bed.direct.create(things, bed.thing('right', {}, { side: 'right' }));
    await vi.waitFor(() => expect(informer.items().length).toBe(1), within);
    // One that does not fit any more is gone.
    await bed.direct.patchMerge(things, bed.at('left'), { metadata: { labels: { side: 'right' } } });
    await vi.waitFor(() => expect(informer.items().length).toBe(0), within);
  });
}
