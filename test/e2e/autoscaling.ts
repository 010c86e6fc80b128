/** The autoscaler adds pods for CPU, for open sessions and for the queue, and takes them away again. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import tls from 'node:tls';
import { eventually, type Story } from './story.ts';
import { makeCertificate } from './certificate.ts';
import { handIn, sql, type Endpoints } from './mail-client.ts';
import { allRolledOut, upgrade, type Scene } from './scene.ts';
import { apply, get, isReady, isRolledOut, kubectl, namespace, podsOf, release, run } from './kubectl.ts';

const selector = `app.kubernetes.io/instance=${release},postrider.dev/metrics=true`;

export async function autoscaling(scene: Scene): Promise<void> {
  scene.story.chapter('Autoscaling');
  const { story } = scene;
  await story.step('a stand-in for the custom metrics API relays what our pods print', startMetricsApi);
  await byCpu(scene);
  await bySessions(scene);
  await byQueue(scene);
  await story.step('autoscaling and the stand-in are removed, and settings are as before', async () => {
    await upgrade();
    await stopMetricsApi();
    await allRolledOut();
  });
}

/** `autoscaling` of one role, for `upgrade`. */
function autoscale(role: string, ...settings: readonly string[]): readonly string[] {
  const common = ['enabled=true', 'minReplicas=1', 'maxReplicas=3', 'cpuUtilization=0'];
  return [...common, ...settings].map((setting) => `${role}.autoscaling.${setting}`);
}

async function byCpu({ story, endpoints, alice, bob }: Scene): Promise<void> {
  await story.step('CPU: senders bring submission to three pods', async () => {
    await upgrade(...autoscale('submission', 'cpuUtilization=200'));
    const over = new AbortController();
    const sender = async (): Promise<void> => {
      while (!over.signal.aborted) await handIn(endpoints, alice, bob.address).catch(() => undefined);
    };
    const senders = Array.from({ length: 6 }, () => sender());
    try {
      await isScaledUp('submission', 240);
    } finally {
      over.abort();
      await Promise.all(senders);
    }
  });
  await tellAutoscalers(story);
  await story.step('CPU: without them it is one pod again', () => hasPods('submission', 1));
}

async function bySessions({ story, endpoints }: Scene): Promise<void> {
  await story.step('sessions: thirty connections bring imap to three pods', async () => {
    await upgrade(...autoscale('imap', 'sessions=10'));
    await eventually('one pod of imap', 240, () => isRolledOut(`${release}-imap`, 1));
    const held = await holdConnections(endpoints, 30);
    try {
      await isScaledUp('imap', 180);
    } finally {
      for (const socket of held) socket.destroy();
    }
  });
  await tellAutoscalers(story);
  await story.step('sessions: without them it is one pod again', () => hasPods('imap', 1));
}

/** Of the sessions that are open, none says anything. */
function holdConnections({ host, imaps }: Endpoints, count: number): Promise<readonly tls.TLSSocket[]> {
  return Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<tls.TLSSocket>((resolve, reject) => {
          const socket = tls.connect({ host, port: imaps, rejectUnauthorized: false });
          socket.once('error', reject);
          socket.once('data', () => {
            socket.on('error', () => undefined);
            resolve(socket);
          });
        }),
    ),
  );
}

async function byQueue({ story, endpoints, alice }: Scene): Promise<void> {
  await story.step('queue: sixty messages to a host that does not answer bring outbound to three pods', async () => {
    // A route to an address that nobody has (RFC 5737): what goes there stays in the queue.
    await apply({
      apiVersion: 'postrider.dev/v1alpha1',
      kind: 'MailRoute',
      metadata: { name: 'e2e-nowhere' },
      spec: {
        priority: 5,
        match: { recipientDomains: ['nowhere.example'] },
        targets: [{ type: 'Smarthost', host: '192.0.2.25', port: 25 }],
      },
    });
    await upgrade(...autoscale('outbound', 'queueDepth=20'));
    for (let i = 0; i < 60; i += 1) await handIn(endpoints, alice, `someone${i}@nowhere.example`);
    await isScaledUp('outbound', 240);
  });
  await tellAutoscalers(story);
  await story.step('queue: once it is empty it is one pod again', async () => {
    const cancel = ['node', '/app/cli/postrider.ts', 'queue', 'cancel', '--domain', 'nowhere.example', '--all'];
    // Old pods of the upgrade before may be on their way out, and what is being tried at the moment is cancelled later.
    await eventually('the queue is cancelled and empty', 120, async () => {
      const pod = (await podsOf('outbound')).find((one) => isReady(one));
      await kubectl('exec', pod?.metadata.name ?? '', '--', ...cancel);
      return (await sql("select count(*) from outbound_recipient where state = 'queued'")) === '0';
    });
    await hasPods('outbound', 1);
    await kubectl('delete', 'mailroute', 'e2e-nowhere');
  });
}

/** By the autoscaler, and not by a roll-out that has more pods for a moment. */
async function isScaledUp(part: string, withinSeconds: number): Promise<void> {
  await eventually(`the autoscaler wants three pods of ${part}, and has them`, withinSeconds, async () => {
    const autoscaler = await get('horizontalpodautoscaler', `${release}-${part}`);
    return autoscaler?.status?.['desiredReplicas'] === 3 && (await podsOf(part)).length === 3;
  });
}

async function tellAutoscalers(story: Story): Promise<void> {
  story.note(await kubectl('get', 'horizontalpodautoscalers'));
}

async function hasPods(part: string, count: number): Promise<void> {
  await eventually(`${part} has ${count} pods`, 300, async () => (await podsOf(part)).length === count);
}

/** The two groups as APIServices, and the rights that the autoscaler needs to read them. */
const groups = ['custom.metrics.k8s.io/v1beta2', 'external.metrics.k8s.io/v1beta1'];
const reader = 'postrider-e2e-metrics';

async function startMetricsApi(): Promise<void> {
  await makeCertificate('e2e-metrics', `e2e-metrics.${namespace}.svc`);
  await run(
    'kubectl',
    'create',
    'clusterrole',
    reader,
    '--verb=get,list',
    '--resource=*.custom.metrics.k8s.io,*.external.metrics.k8s.io',
  ).catch(() => undefined);
  await run(
    'kubectl',
    'create',
    'clusterrolebinding',
    reader,
    `--clusterrole=${reader}`,
    '--serviceaccount=kube-system:horizontal-pod-autoscaler',
  ).catch(() => undefined);
  const script = readFileSync(path.join(import.meta.dirname, 'metrics-api.mjs'), 'utf8');
  const [pod] = await podsOf('imap');
  const [container] = (pod?.spec?.['containers'] ?? []) as readonly { readonly image: string }[];
  const image = container?.image ?? '';
  await apply(...metricsApiObjects(script, image));
  await eventually('the metrics API answers', 120, async () => {
    for (const group of groups) await run('kubectl', 'get', '--raw', `/apis/${group}`);
    return isRolledOut('e2e-metrics', 1);
  });
}

function metricsApiObjects(script: string, image: string): readonly object[] {
  const labels = { app: 'e2e-metrics' };
  const read = { apiGroups: [''], resources: ['pods'], verbs: ['list'] };
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'e2e-metrics' } },
    { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', metadata: { name: 'e2e-metrics' }, rules: [read] },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name: 'e2e-metrics' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'e2e-metrics' },
      subjects: [{ kind: 'ServiceAccount', name: 'e2e-metrics', namespace }],
    },
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'e2e-metrics' }, data: { 'metrics-api.mjs': script } },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'e2e-metrics' },
      spec: { selector: labels, ports: [{ port: 443, targetPort: 8443 }] },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'e2e-metrics' },
      spec: {
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: metricsApiPod(image) },
      },
    },
    ...groups.map((name) => {
      const [group = '', version = ''] = name.split('/');
      return {
        apiVersion: 'apiregistration.k8s.io/v1',
        kind: 'APIService',
        metadata: { name: `${version}.${group}` },
        spec: {
          group,
          version,
          service: { name: 'e2e-metrics', namespace },
          insecureSkipTLSVerify: true,
          groupPriorityMinimum: 100,
          versionPriority: 100,
        },
      };
    }),
  ];
}

function metricsApiPod(image: string): object {
  const securityContext = {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
  };
  return {
    serviceAccountName: 'e2e-metrics',
    securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    containers: [
      {
        name: 'metrics-api',
        image,
        imagePullPolicy: 'IfNotPresent',
        command: ['node', '/script/metrics-api.mjs'],
        env: [{ name: 'POD_SELECTOR', value: selector }],
        securityContext,
        readinessProbe: { tcpSocket: { port: 8443 }, periodSeconds: 1 },
        volumeMounts: [
          { name: 'script', mountPath: '/script' },
          { name: 'tls', mountPath: '/tls' },
        ],
      },
    ],
    volumes: [
      { name: 'script', configMap: { name: 'e2e-metrics' } },
      { name: 'tls', secret: { secretName: 'e2e-metrics' } },
    ],
  };
}

/** Also what is the cluster's and not the namespace's, which without its Service would hold up the namespace's end. */
export async function stopMetricsApi(): Promise<void> {
  for (const name of groups) {
    const [group = '', version = ''] = name.split('/');
    await run('kubectl', 'delete', 'apiservice', `${version}.${group}`, '--ignore-not-found');
  }
  await run('kubectl', 'delete', 'clusterrole,clusterrolebinding', reader, '--ignore-not-found');
  await kubectl(
    'delete',
    'deployment,service,configmap,serviceaccount,role,rolebinding,secret',
    'e2e-metrics',
    '--ignore-not-found',
  );
}
