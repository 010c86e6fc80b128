/** The contract of `operator/kube`, on the stand-in: what passes here passes on a real server (apiserver.test.ts). */
import { afterAll, beforeAll, describe } from 'vitest';
import { systemClock } from '#shared/base/clock.ts';
import { createKubeClient } from '#operator/kube/http-client.ts';
import { applyCrd, testClientOptions } from '../harness/kube-apiserver.ts';
import { clientContract } from './client-contract.ts';
import { eventContract } from './event-contract.ts';
import { informerContract } from './informer-contract.ts';
import { leaderContract } from './leader-contract.ts';
import { testCrd, things } from './server-under-test.ts';
import { startStandIn, type StandIn } from './stand-in.ts';

describe('on the stand-in', () => {
  let standIn: StandIn;
  beforeAll(async () => {
    standIn = await startStandIn();
    const { access } = standIn;
    await using client = createKubeClient({ ...testClientOptions(), access, clock: systemClock });
    await applyCrd(client, testCrd(things));
  });
  afterAll(async () => {
    await standIn[Symbol.asyncDispose]();
  });

  const server = (): StandIn => standIn;
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
