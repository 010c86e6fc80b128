/** The contract of `operator/kube`, on a real kube-apiserver. */
import { afterAll, beforeAll, describe } from 'vitest';
import { lacksKube } from '../harness/kube-assets.ts';
import { applyCrd, startKubeApiserver, type KubeApiserver } from '../harness/kube-apiserver.ts';
import { clientContract } from './client-contract.ts';
import { eventContract } from './event-contract.ts';
import { informerContract } from './informer-contract.ts';
import { leaderContract } from './leader-contract.ts';
import { testCrd, things, type ServerUnderTest } from './server-under-test.ts';

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
