/**
 * Measures the runtime of the operator on a real API server: an informer of 20,000 objects, 1,000 patches of a status
 * by 10 workers, and 300 requests one after the other, beside the client library. Each part runs in a process of its
 * own, for its memory. `node test/kube/run-measure.ts [OBJECTS]`
 */
import { spawnSync } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import process from 'node:process';
import { forEachBounded } from '#shared/base/bounded.ts';
import type { KubeAccess } from '#operator/kube/kube-access.ts';
import { createKubeClient } from '#operator/kube/http-client.ts';
import { Informer } from '#operator/kube/informer.ts';
import { apiVersionOf } from '#operator/kube/resource.ts';
import { applyCrd, startKubeApiserver, testClientOptions } from '../harness/kube-apiserver.ts';
import { startFaultProxy } from './fault-proxy.ts';
import { testCrd, things, type Thing } from './server-under-test.ts';

const rate = { perSecond: 10_000, burst: 10_000 };
const megabytes = (bytes: number): number => Math.round(bytes / 1e6);
const identity = { apiVersion: apiVersionOf(things), kind: things.kind };
const at = (index: number) => ({ namespace: 'default', name: `thing-${index}` });
const colour = 'c'.repeat(100);

const parts: Readonly<Record<string, (access: KubeAccess) => Promise<object>>> = {
  async informer(access) {
    const options = testClientOptions();
    await using client = createKubeClient({ ...options, access });
    const rssBefore = process.memoryUsage().rss;
    const startedAt = performance.now();
    await using informer = Informer.open<Thing>({ ...options, client, type: things });
    await informer.synced;
    const seconds = (performance.now() - startedAt) / 1000;
    const { rss, heapUsed } = process.memoryUsage();
    const objects = informer.items().length;
    return { objects, seconds, rssBeforeMB: megabytes(rssBefore), rssMB: megabytes(rss), heapMB: megabytes(heapUsed) };
  },

  async patches(access) {
    await using proxy = await startFaultProxy(access);
    await using client = createKubeClient({ ...testClientOptions(), access: proxy.access, rate });
    await using direct = createKubeClient({ ...testClientOptions(), access, rate });
    const status = { phase: 'up', conditions: [{ type: 'Ready', status: 'True', reason: 'Fine' }] };
    const patchAll = async (each: typeof client, phase: string): Promise<number> => {
      const startedAt = performance.now();
      await forEachBounded(Array.from({ length: 1_000 }).keys(), 10, async (index) => {
        const object = { ...identity, metadata: at(index), status: { ...status, phase } };
        await each.applyStatus(things, object as unknown as Thing);
      });
      return (performance.now() - startedAt) / 1000;
    };
    const seconds = await patchAll(direct, 'up');
    await patchAll(client, 'down');
    return {
      patches: 1_000,
      workers: 10,
      seconds,
      connections: proxy.opened,
      rssMB: megabytes(process.memoryUsage().rss),
    };
  },

  async ours(access) {
    await using proxy = await startFaultProxy(access);
    await using client = createKubeClient({ ...testClientOptions(), access: proxy.access, rate });
    const startedAt = performance.now();
    for (let index = 0; index < 300; index += 1) await client.get(things, at(index));
    return { requests: 300, ms: performance.now() - startedAt, connections: proxy.opened };
  },

  async library(access) {
    await using proxy = await startFaultProxy(access);
    const rssBefore = process.memoryUsage().rss;
    const importedAt = performance.now();
    const { CustomObjectsApi, KubeConfig } = await import('@kubernetes/client-node');
    const importMs = performance.now() - importedAt;
    const importMB = megabytes(process.memoryUsage().rss - rssBefore);
    const config = new KubeConfig();
    const token = access.login && 'token' in access.login ? access.login.token : '';
    config.loadFromClusterAndUser(
      { name: 'c', server: proxy.access.server, skipTLSVerify: true },
      { name: 'u', token },
    );
    const api = config.makeApiClient(CustomObjectsApi);
    const { group, version, plural } = things;
    const startedAt = performance.now();
    for (let index = 0; index < 300; index += 1) {
      await api.getNamespacedCustomObject({ group, version, plural, ...at(index) });
    }
    return { requests: 300, ms: performance.now() - startedAt, connections: proxy.opened, importMs, importMB };
  },
};

const [part, access] = process.argv.slice(2);
const run = part === undefined ? undefined : parts[part];
if (run && access !== undefined) {
  console.log(JSON.stringify(await run(JSON.parse(access) as KubeAccess)));
} else {
  const count = Number(part ?? 20_000);
  await using kube = await startKubeApiserver();
  const client = kube.client({ rate, connections: 32 });
  await applyCrd(client, testCrd(things));
  const startedAt = performance.now();
  await forEachBounded(Array.from({ length: count }).keys(), 32, async (index) => {
    await client.create(things, { ...identity, metadata: at(index), spec: { size: index, colour } });
  });
  console.log(`${count} objects made in ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
  for (const name of Object.keys(parts)) {
    const words = [import.meta.filename, name, JSON.stringify(kube.access)];
    const { stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' });
    console.log(`${name}: ${stdout.trim()}${stderr}`);
  }
}
