/** Pods that come, go and die while people write and read mail. */
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from './story.ts';
import { underLoad, upgrade, type Scene } from './scene.ts';
import { handIn, has } from './mail-client.ts';
import { isReady, isRolledOut, kubectl, namespace, podsOf, release, run } from './kubectl.ts';

export async function scale(scene: Scene): Promise<void> {
  scene.story.chapter('Scale to three and back, under load');
  await underLoad(scene, 'submission and imap have three pods, then two again', async () => {
    await scaleTo(3);
    await sleep(3_000);
    await scaleTo(2);
    // Their connections end within the grace period.
    await eventually('the third pods are gone', 90, async () => (await podsOf('imap')).length === 2);
    await sleep(2_000);
  });
}

async function scaleTo(replicas: number): Promise<void> {
  for (const part of ['submission', 'imap']) {
    await kubectl('scale', 'deployment', `${release}-${part}`, `--replicas=${replicas}`);
  }
  for (const part of ['submission', 'imap']) {
    await eventually(`${part} has ${replicas} pods`, 120, () => isRolledOut(`${release}-${part}`, replicas));
  }
}

export async function rollingUpgrade(scene: Scene): Promise<void> {
  scene.story.chapter('A rolling upgrade under load');
  await underLoad(scene, 'helm upgrade replaces every server pod', async () => {
    const before = await serverPods();
    await upgrade(`server.podAnnotations.e2e/turn=t${Date.now()}`);
    for (const part of ['mx', 'submission', 'imap', 'outbound']) {
      await eventually(`${part} is rolled out`, 300, () => isRolledOut(`${release}-${part}`));
    }
    const after = await serverPods();
    const same = after.filter((name) => before.includes(name));
    if (same.length > 0) throw new Error(`not replaced: ${same.join()}`);
    await sleep(2_000);
  });
}

async function serverPods(): Promise<readonly string[]> {
  const pods = await Promise.all(['mx', 'submission', 'imap', 'outbound'].map((part) => podsOf(part)));
  return pods.flat().map(({ metadata }) => metadata.name);
}

export async function eviction(scene: Scene): Promise<void> {
  scene.story.chapter('Evictions');
  const { story } = scene;
  const said = await story.step(
    'a first eviction of an imap pod is granted, a second one at once is refused',
    async () => {
      await eventually('two imap pods are ready', 120, () => isRolledOut(`${release}-imap`, 2));
      const [first, second] = (await podsOf('imap')).map(({ metadata }) => metadata.name);
      await evict(first ?? '');
      const refusal = await evict(second ?? '').then(
        () => 'granted',
        (error: unknown) => String(error),
      );
      if (!refusal.includes('disruption budget')) throw new Error(`the second eviction: ${refusal}`);
      await eventually('two imap pods are ready again', 120, () => isRolledOut(`${release}-imap`, 2));
      return refusal;
    },
  );
  story.note(said.split('\n').find((line) => line.includes('disruption budget')) ?? '');
}

async function evict(pod: string): Promise<void> {
  const body = JSON.stringify({ apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: pod, namespace } });
  await run(
    'sh',
    '-c',
    `printf %s "$1" | kubectl create --raw "/api/v1/namespaces/${namespace}/pods/${pod}/eviction" -f -`,
    'sh',
    body,
  );
}

export async function podKills(scene: Scene, parts: readonly string[]): Promise<void> {
  scene.story.chapter('Pods are killed under load');
  await underLoad(
    scene,
    `a pod of ${parts.join(', ')} is killed, and all come back`,
    async () => {
      for (const part of parts) {
        const [pod] = await podsOf(part);
        await kubectl('delete', 'pod', pod?.metadata.name ?? '', '--grace-period=0', '--force');
        await sleep(2_000);
      }
      for (const part of parts)
        await eventually(`${part} is whole again`, 180, () => isRolledOut(`${release}-${part}`));
    },
    'whoever is connected to a killed pod is cut off',
  );
}

export async function databaseRestart(scene: Scene): Promise<void> {
  const { story, endpoints, alice, bob } = scene;
  story.chapter('The database is restarted under load');
  const names = await serverPods();
  await underLoad(
    scene,
    'the pod of Postgres is deleted and comes back',
    async () => {
      await kubectl('delete', 'pod', `${release}-database-0`);
      await eventually('Postgres is ready again', 180, async () => (await podsOf('database')).some(isReady));
    },
    'who comes while the database is away is told to try again',
  );
  await story.step('mail flows again, and no server pod was started anew', async () => {
    const mark = await eventually('alice hands in a mail', 60, () => handIn(endpoints, alice, bob.address));
    await eventually('bob reads it', 30, () => has(endpoints, bob, mark));
    const now = await serverPods();
    const missing = names.filter((name) => !now.includes(name));
    if (missing.length > 0) throw new Error(`gone: ${missing.join()}`);
    const pods = (await Promise.all(['mx', 'submission', 'imap', 'outbound'].map((part) => podsOf(part)))).flat();
    for (const { metadata, status } of pods) {
      const [container] = (status?.['containerStatuses'] ?? []) as readonly { restartCount: number }[];
      if (container?.restartCount !== 0)
        throw new Error(`${metadata.name} was started ${container?.restartCount} times again`);
    }
  });
}

export async function leaderKill({ story }: Scene): Promise<void> {
  story.chapter('The leading operator is killed');
  await story.step('another one leads', async () => {
    const leader = await holder();
    const pod = (await podsOf('operator')).find(({ metadata }) => leader.startsWith(metadata.name));
    await kubectl('delete', 'pod', pod?.metadata.name ?? '', '--grace-period=0', '--force');
    await eventually('the lease has another holder', 40, async () => {
      const now = await holder();
      return now !== '' && now !== leader;
    });
  });
}

function holder(): Promise<string> {
  return kubectl('get', 'lease', `${release}-operator`, '-o', 'jsonpath={.spec.holderIdentity}');
}
