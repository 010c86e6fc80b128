/** DKIM keys that are published, seen, used and replaced, with a stand-in for the world's DNS. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { eventually } from './story.ts';
import { allRolledOut, upgrade, type Scene } from './scene.ts';
import { apply, get, hasCondition, isRolledOut, kubectl, podsOf } from './kubectl.ts';

type Key = { readonly selector: string; readonly algorithm: string; readonly state: string };

const domain = 'example-test';

export async function dkimRotation({ story }: Scene): Promise<void> {
  story.chapter('DKIM keys are rotated');
  await story.step('a stand-in for the DNS publishes what status.dnsRecords asks for', startDns);
  await story.step('the operator is told to ask it (helm upgrade)', async () => {
    const address = (await get('service', 'e2e-dns'))?.spec?.['clusterIP'];
    await patchDomain({ dns: { verifyInterval: '15s' } });
    await upgrade(`operator.config.DNS_SERVERS=${String(address)}`);
    await allRolledOut();
  });
  const first = await story.step('keys that the DNS has are used', () =>
    eventually('active keys', 180, async () => {
      const active = (await keys()).filter(({ state }) => state === 'Active');
      return active.length > 0 && active;
    }),
  );
  story.note(first.map(({ selector, algorithm }) => `${selector} (${algorithm})`).join(', '));
  await story.step('all required records are found', () => eventually('DNSReady', 120, () => holds('DNSReady')));
  const successors = await story.step('after their time others are published, seen and used', async () => {
    await patchDomain({ dkim: { rotation: { interval: '20s', overlap: '20s' } } });
    return eventually('other active keys', 240, async () => {
      const active = (await keys()).filter(({ state }) => state === 'Active');
      const isOther = active.every(({ selector }) => first.every((one) => one.selector !== selector));
      return active.length === first.length && isOther && active;
    });
  });
  story.note(successors.map(({ selector, algorithm }) => `${selector} (${algorithm})`).join(', '));
  await story.step('the old ones are withdrawn once their overlap is over', async () => {
    await patchDomain({ dkim: { rotation: { interval: '4320h', overlap: '20s' } } });
    await eventually('no old key', 180, async () => {
      const left = new Set((await keys()).map(({ selector }) => selector));
      return first.every(({ selector }) => !left.has(selector));
    });
  });
  await story.step('the stand-in is removed, and settings are as before', async () => {
    await kubectl('delete', 'deployment,service,configmap,serviceaccount,role,rolebinding', 'e2e-dns');
    await patchDomain({ dkim: null, dns: null });
    await upgrade();
    await allRolledOut();
  });
}

async function patchDomain(spec: object): Promise<void> {
  await kubectl('patch', 'maildomain', domain, '--type=merge', '-p', JSON.stringify({ spec }));
}

async function keys(): Promise<readonly Key[]> {
  return ((await get('maildomain', domain))?.status?.['dkim'] ?? []) as readonly Key[];
}

async function holds(condition: string): Promise<boolean> {
  const found = await get('maildomain', domain);
  return found !== null && hasCondition(found, condition);
}

async function startDns(): Promise<void> {
  const [pod] = await podsOf('imap');
  const [container] = (pod?.spec?.['containers'] ?? []) as readonly { readonly image: string }[];
  const script = readFileSync(path.join(import.meta.dirname, 'dns.mjs'), 'utf8');
  await apply(...dnsObjects(script, container?.image ?? ''));
  await eventually('the stand-in runs', 60, () => isRolledOut('e2e-dns', 1));
}

function dnsObjects(script: string, image: string): readonly object[] {
  const metadata = { name: 'e2e-dns' };
  const labels = { app: 'e2e-dns' };
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'Role',
      metadata,
      rules: [{ apiGroups: ['postrider.dev'], resources: ['maildomains'], verbs: ['get'] }],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'e2e-dns' },
      subjects: [{ kind: 'ServiceAccount', name: 'e2e-dns' }],
    },
    { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { 'dns.mjs': script } },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: { selector: labels, ports: [{ port: 53, targetPort: 53, protocol: 'UDP' }] },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata,
      spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: dnsPod(image) } },
    },
  ];
}

function dnsPod(image: string): object {
  return {
    serviceAccountName: 'e2e-dns',
    terminationGracePeriodSeconds: 1,
    securityContext: {
      runAsNonRoot: true,
      seccompProfile: { type: 'RuntimeDefault' },
      // So that port 53 needs no right: PodSecurity "restricted" allows this one.
      sysctls: [{ name: 'net.ipv4.ip_unprivileged_port_start', value: '0' }],
    },
    containers: [
      {
        name: 'dns',
        image,
        imagePullPolicy: 'IfNotPresent',
        command: ['node', '/script/dns.mjs'],
        env: [
          { name: 'ZONE', value: 'example.test' },
          { name: 'DOMAIN_RESOURCE', value: domain },
          { name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
        ],
        securityContext: {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        },
        volumeMounts: [{ name: 'script', mountPath: '/script' }],
      },
    ],
    volumes: [{ name: 'script', configMap: { name: 'e2e-dns' } }],
  };
}
