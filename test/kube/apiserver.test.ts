/** The contract of `operator/kube`, on a real kube-apiserver. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { lacksKube } from '../harness/kube-assets.ts';
import { applyCrd, startKubeApiserver, type KubeApiserver } from '../harness/kube-apiserver.ts';
import { clientContract } from './client-contract.ts';
import { eventContract } from './event-contract.ts';
import { informerContract } from './informer-contract.ts';
import { leaderContract } from './leader-contract.ts';
import { TestBed, testCrd, things, type ServerUnderTest } from './server-under-test.ts';

describe.skipIf(lacksKube())('on a real API server', () => {
  let kube: KubeApiserver;
  beforeAll(async () => {
    kube = await startKubeApiserver();
    await applyCrd(kube.client(), testCrd(things));
  });
  afterAll(async () => {
    await kube?.[Symbol.asyncDispose]();
  });

  const server = (): ServerUnderTest => ({
    access: kube.access,
    async restart() {
      await kube.kill();
      await kube.start();
    },
    [Symbol.asyncDispose]: async () => undefined,
  });

  test('what happened while nobody watched is found after etcd was compacted and the server began anew', async () => {
    await using bed = await TestBed.open(server());
    await bed.direct.create(things, bed.thing('deleted'));
    const informer = bed.informer({ idleMs: 8_000 });
    await informer.synced;
    await vi.waitFor(() => expect(bed.proxy.watches).toBe(1));
    bed.proxy.rule(() => ({ kind: 'hang' }));
    bed.proxy.hurtWatches('cut');
    await bed.direct.delete(things, bed.at('deleted'));
    await bed.direct.create(things, bed.thing('made'));
    await kube.compact();
    await kube.kill();
    await kube.start();
    bed.proxy.rule(null);
    await vi.waitFor(() => expect(informer.items().map(({ metadata }) => metadata.name)).toEqual(['made']), 25_000);
    // The server itself said that the version is gone.
    expect(await bed.metric('informerLists', { kind: 'Thing', reason: 'expired' })).toBe(1);
  });

  describe('client', () => {
    clientContract(server);
  });
  describe('informer', () => {
    informerContract(server);
  });
  describe('leader election', () => {
    leaderContract(server);
  });
  describe('events', () => {
    eventContract(server);
  });
});
