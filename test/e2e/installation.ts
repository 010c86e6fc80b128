/** From an empty cluster to a mail that is read; and what an uninstall leaves. */
import { readdirSync } from 'node:fs';
import process from 'node:process';
import { eventually, secondsUntil, type Story } from './story.ts';
import { stopMetricsApi } from './autoscaling.ts';
import { otherNamespace } from './neighbours.ts';
import { chart, allRolledOut, setScene, valuesArguments, type Scene } from './scene.ts';
import { deliver, findEndpoints, handIn, has, subjects } from './mail-client.ts';
import { apply, get, hasCondition, helm, kubectl, list, namespace, release, run } from './kubectl.ts';

const kinds = 'mailservers,maildomains,mailboxes,mailaliases,mailcredentials,mailroutes,mailpolicies';
/** What docs/install.md promises of a machine that has nothing else to do. */
const firstMailSeconds = Number(process.env['E2E_FIRST_MAIL_SECONDS'] ?? 120);

export async function install(story: Story): Promise<Scene> {
  story.chapter('Install');
  const startedAt = Date.now();
  await story.step(`a namespace that enforces PodSecurity "restricted": ${namespace}`, async () => {
    await run('kubectl', 'create', 'namespace', namespace);
    await run('kubectl', 'label', 'namespace', namespace, 'pod-security.kubernetes.io/enforce=restricted');
  });
  await story.step('helm install', async () => {
    await helm('install', release, chart, ...valuesArguments());
  });
  await story.step('kubectl apply -f examples/', async () => {
    await kubectl('apply', '-f', 'examples/');
  });
  const scene = await story.step('the operator made passwords for alice and bob', () =>
    eventually('Secrets with passwords', 180, () => setScene(story)),
  );
  const { endpoints, alice, bob } = scene;
  await story.step('a mail handed in at the submission Service is read at the IMAP Service', async () => {
    const mark = await eventually('alice hands in a mail', 180, () => handIn(endpoints, alice, bob.address));
    await eventually('bob reads it', 60, () => has(endpoints, bob, mark));
  });
  const seconds = (Date.now() - startedAt) / 1000;
  story.note(`from nothing to a mail that is read: ${seconds.toFixed(0)} s`);
  if (seconds > firstMailSeconds)
    throw new Error(`the first mail took ${seconds.toFixed(0)} s, more than ${firstMailSeconds} s`);
  await story.step('all Deployments are rolled out', allRolledOut);
  return scene;
}

export async function lookAround({ story, endpoints, alice }: Scene): Promise<void> {
  story.chapter('What is there');
  await story.step('kubectl get mail: all of it Ready', async () => {
    await eventually('every resource is Ready', 90, async () => {
      const notReady = (await list(kinds)).filter((one) => !hasCondition(one, 'Ready'));
      if (notReady.length === 0) return true;
      throw new Error(
        notReady
          .map(({ kind, metadata, status }) => `${kind} ${metadata.name}: ${JSON.stringify(status?.conditions)}`)
          .join('\n'),
      );
    });
  });
  story.note(await kubectl('get', 'mail'));
  await story.step('helm test sends and reads a mail inside of the cluster', async () => {
    await helm('test', release, '--timeout', '5m');
  });
  await story.step('another server delivers over port 25 from outside', async () => {
    const mark = await deliver(endpoints, alice.address);
    await eventually('alice reads it', 30, () => has(endpoints, alice, mark));
  });
  await story.step('a mail to the alias reaches its members', async () => {
    const mark = await deliver(endpoints, 'team@example.test');
    await eventually('alice reads it', 30, () => has(endpoints, alice, mark));
  });
  await story.step('every pod prints metrics', async () => {
    const pods = await list('pods', '-l', `app.kubernetes.io/instance=${release},postrider.dev/metrics=true`);
    for (const { metadata } of pods) {
      const text = await run(
        'kubectl',
        'get',
        '--raw',
        `/api/v1/namespaces/${namespace}/pods/${metadata.name}:8080/proxy/metrics`,
      );
      if (!/^postrider_|^controller_runtime_/m.test(text))
        throw new Error(`${metadata.name} prints no metrics of ours`);
    }
  });
}

/** helm uninstall leaves the definitions, the resources, the database and what opens it; nothing else of ours. */
export async function uninstall({ story }: Scene): Promise<void> {
  story.chapter('Uninstall');
  const held = 'e2e-held';
  await story.step('a mailbox with deletionPolicy Delete, which has a finalizer', async () => {
    await apply({
      apiVersion: 'postrider.dev/v1alpha1',
      kind: 'Mailbox',
      metadata: { name: held },
      spec: { address: 'held@example.test', deletionPolicy: 'Delete' },
    });
    await eventually('it is Ready', 60, async () => {
      const mailbox = await get('mailbox', held);
      return mailbox !== null && hasCondition(mailbox, 'Ready');
    });
  });
  const resources = (await list(kinds)).map(nameOf).sort();
  await story.step('helm uninstall', async () => {
    await helm('uninstall', release, '--wait', '--timeout', '5m');
  });
  await story.step('no pod is left', async () => {
    await secondsUntil('pods are gone', 120, async () => (await list('pods')).length === 0);
  });
  await story.step('all resources and their definitions are there', async () => {
    const left = (await list(kinds)).map(nameOf).sort();
    if (left.join() !== resources.join()) throw new Error(`there were ${resources.join()}, there are ${left.join()}`);
    for (const file of readdirSync('crds')) {
      await run('kubectl', 'get', 'crd', `${file.replace('.yaml', '')}.postrider.dev`);
    }
  });
  const remains = await story.step(
    "the database's volume, its Secret and the keyring are there, and nothing else of the release",
    async () => {
      const everything =
        'deployments,statefulsets,replicasets,jobs,services,configmaps,serviceaccounts,roles,rolebindings,networkpolicies,poddisruptionbudgets,horizontalpodautoscalers,leases,secrets,persistentvolumeclaims';
      const left = (await list(everything)).map(nameOf).filter((name) => !ofCluster.has(name));
      const allowed =
        /^(?:Secret\/(?:postrider-(?:database|keyring)|[a-z0-9-]+-(?:mailbox|smtp|ca|tls))|PersistentVolumeClaim\/data-postrider-database-0|Secret\/e2e-given)$/;
      const unexpected = left.filter((name) => !allowed.test(name));
      if (unexpected.length > 0) throw new Error(`also left: ${unexpected.join(', ')}`);
      for (const name of [
        'Secret/postrider-database',
        'Secret/postrider-keyring',
        'PersistentVolumeClaim/data-postrider-database-0',
      ]) {
        if (!left.includes(name)) throw new Error(`${name} is gone`);
      }
      const roles = await run(
        'kubectl',
        'get',
        'clusterroles,clusterrolebindings',
        '-l',
        `app.kubernetes.io/instance=${release}`,
        '-o',
        'name',
      );
      if (roles.trim() !== '') throw new Error(`also left: ${roles}`);
      return left;
    },
  );
  story.note(remains.join('\n'));
  await story.step('a mailbox that is deleted without an operator waits until its finalizer is taken off by hand', () =>
    deleteWithoutOperator(held),
  );
}

/** Nobody is there who takes finalizers off: docs/uninstall.md tells what a person does then. */
async function deleteWithoutOperator(held: string): Promise<void> {
  await kubectl('delete', 'mailbox', held, '--wait=false');
  if ((await get('mailbox', held))?.metadata.deletionTimestamp === undefined)
    throw new Error(`${held} does not wait for its finalizer`);
  await kubectl('patch', 'mailbox', held, '--type=merge', '-p', '{"metadata":{"finalizers":null}}');
  await eventually(`${held} is gone`, 30, async () => (await get('mailbox', held)) === null);
}

/** The same database again: whoever had a mailbox has it still, with the password of the Secret that stayed. */
export async function reinstall({ story, alice, bob }: Scene): Promise<void> {
  story.chapter('Install again on what was left');
  await story.step('helm install', async () => {
    await helm('install', release, chart, ...valuesArguments());
  });
  const found = await story.step('the old passwords open mailboxes with all their mail, and mail flows', async () => {
    const endpoints = await findEndpoints();
    const before = await eventually('bob has his mail', 240, async () => {
      const seen = await subjects(endpoints, bob);
      return seen.length > 0 && seen;
    });
    const mark = await eventually('alice hands in a mail', 120, () => handIn(endpoints, alice, bob.address));
    await eventually('bob reads it', 60, () => has(endpoints, bob, mark));
    return before.length;
  });
  story.note(`bob has the ${found} messages of before`);
}

/** Removes all that the run made. */
export async function cleanUp(story: Story): Promise<void> {
  await story.step('everything that this run made is removed', async () => {
    await stopMetricsApi();
    await helm('uninstall', release, '--ignore-not-found', '--wait').catch(() => undefined);
    await releaseFinalizers();
    await run(
      'kubectl',
      'delete',
      'crd',
      '--ignore-not-found',
      '--wait=false',
      ...readdirSync('crds').map((file) => `${file.replace('.yaml', '')}.postrider.dev`),
    );
    await run('kubectl', 'delete', 'namespace', namespace, otherNamespace, '--ignore-not-found', '--timeout=180s');
  });
}

/** Nobody is there any more to do what finalizers wait for. */
async function releaseFinalizers(): Promise<void> {
  const left = await list(kinds).catch(() => []);
  for (const { kind, metadata } of left) {
    await kubectl(
      'patch',
      kind.toLowerCase(),
      metadata.name,
      '--type=merge',
      '-p',
      '{"metadata":{"finalizers":null}}',
    ).catch(() => undefined);
  }
}

function nameOf({ kind, metadata }: { readonly kind: string; readonly metadata: { readonly name: string } }): string {
  return `${kind}/${metadata.name}`;
}

/** In every namespace. */
const ofCluster = new Set(['ConfigMap/kube-root-ca.crt', 'ServiceAccount/default']);
