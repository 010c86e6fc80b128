import { beforeAll, describe, expect, test } from 'vitest';
import { byKind, lacksHelm, podsOf, render, type Rendered } from './helm.ts';
import { isAllowed, type Peer, type Policy } from './network-policy.ts';

const release = { 'app.kubernetes.io/name': 'postrider', 'app.kubernetes.io/instance': 'mail' };
const outside: Peer = { pod: null, address: '203.0.113.7' };
const apiServer: Peer = { pod: null, address: '10.96.0.1' };
const stranger: Peer = {
  pod: { namespace: 'shop', namespaceLabels: { 'kubernetes.io/metadata.name': 'shop' }, labels: { app: 'shop' } },
  address: '10.244.3.9',
};
const prometheus: Peer = {
  pod: {
    namespace: 'monitoring',
    namespaceLabels: { 'kubernetes.io/metadata.name': 'monitoring' },
    labels: { app: 'prometheus' },
  },
  address: '10.244.3.10',
};
const dns: Peer = {
  pod: {
    namespace: 'kube-system',
    namespaceLabels: { 'kubernetes.io/metadata.name': 'kube-system' },
    labels: { 'k8s-app': 'kube-dns' },
  },
  address: '10.244.0.2',
};
/** Takes labels of ours without being of this release. */
const neighbour: Peer = {
  pod: {
    namespace: 'mail-system',
    namespaceLabels: { 'kubernetes.io/metadata.name': 'mail-system' },
    labels: { ...release, 'app.kubernetes.io/instance': 'other', 'app.kubernetes.io/component': 'imap' },
  },
  address: '10.244.3.11',
};

function policiesOf(objects: readonly Rendered[]): readonly Policy[] {
  return byKind(objects, 'NetworkPolicy') as unknown as readonly Policy[];
}

/** The pod of a part as the chart renders it, so that labels and names of ports are those in fact. */
function partOf(objects: readonly Rendered[], part: string): Peer {
  const found = podsOf(objects).find(({ pod }) => pod.metadata.labels['app.kubernetes.io/component'] === part);
  if (found === undefined) throw new Error(`the chart has no ${part}`);
  const ports = found.pod.spec.containers.flatMap((container) => container.ports ?? []);
  return {
    pod: {
      namespace: 'mail-system',
      namespaceLabels: { 'kubernetes.io/metadata.name': 'mail-system' },
      labels: found.pod.metadata.labels,
      ports: Object.fromEntries(ports.map(({ name = '', containerPort }) => [name, containerPort])),
    },
    address: '10.244.1.1',
  };
}

describe.skipIf(lacksHelm())('the network policies', () => {
  let policies: readonly Policy[];
  let part: (name: string) => Peer;
  beforeAll(async () => {
    const objects = await render();
    policies = policiesOf(objects);
    part = (name) => partOf(objects, name);
  });
  const check = (from: Peer, to: Peer, port: number, protocol: 'TCP' | 'UDP' = 'TCP'): boolean =>
    isAllowed(policies, { from, to, port, protocol });

  test.each([
    ['mail from outside comes to mx', () => check(outside, part('mx'), 2525)],
    ['users reach submission', () => check(outside, part('submission'), 2587)],
    ['users reach submission over TLS', () => check(outside, part('submission'), 2465)],
    ['users reach IMAP', () => check(outside, part('imap'), 2143)],
    ['users reach IMAP over TLS', () => check(outside, part('imap'), 2993)],
    ['a workload hands in mail', () => check(stranger, part('submission'), 2587)],
    ['the test pod hands in mail', () => check(part('test'), part('submission'), 2587)],
    ['the test pod reads mail', () => check(part('test'), part('imap'), 2993)],
    ['Prometheus reads metrics of mx', () => check(prometheus, part('mx'), 8080)],
    ['Prometheus reads metrics of outbound', () => check(prometheus, part('outbound'), 8080)],
    ['Prometheus reads metrics of the operator', () => check(prometheus, part('operator'), 8080)],
    ['mx reaches the database', () => check(part('mx'), part('database'), 5432)],
    ['submission reaches the database', () => check(part('submission'), part('database'), 5432)],
    ['imap reaches the database', () => check(part('imap'), part('database'), 5432)],
    ['outbound reaches the database', () => check(part('outbound'), part('database'), 5432)],
    ['the operator reaches the database', () => check(part('operator'), part('database'), 5432)],
    ['migrations reach the database', () => check(part('migrate'), part('database'), 5432)],
    ['mx asks the DNS', () => check(part('mx'), dns, 53, 'UDP')],
    ['outbound asks the DNS by TCP', () => check(part('outbound'), dns, 53)],
    ['migrations ask the DNS', () => check(part('migrate'), dns, 53, 'UDP')],
    ['the operator asks name servers outside', () => check(part('operator'), outside, 53, 'UDP')],
    ['outbound sends mail', () => check(part('outbound'), outside, 25)],
    ['outbound hands mail to a smart host', () => check(part('outbound'), outside, 587)],
    ['the operator reaches the API server', () => check(part('operator'), apiServer, 443)],
  ])('allow: %s', (_, allowed) => {
    expect(allowed()).toBe(true);
  });

  test.each([
    ['users reach the database', () => check(outside, part('database'), 5432)],
    ['a workload reaches the database', () => check(stranger, part('database'), 5432)],
    ['the test pod reaches the database', () => check(part('test'), part('database'), 5432)],
    ['another release reaches the database', () => check(neighbour, part('database'), 5432)],
    ['the database reaches out', () => check(part('database'), outside, 443)],
    ['the database asks the DNS', () => check(part('database'), dns, 53, 'UDP')],
    ['metrics are read from outside', () => check(outside, part('mx'), 8080)],
    ['metrics of the operator are read from outside', () => check(outside, part('operator'), 8080)],
    ['IMAP is reached on pods that receive mail', () => check(outside, part('mx'), 2143)],
    ['mx sends mail', () => check(part('mx'), outside, 25)],
    ['submission sends mail', () => check(part('submission'), outside, 25)],
    ['imap reaches the web', () => check(part('imap'), outside, 443)],
    ['imap reaches the API server', () => check(part('imap'), apiServer, 443)],
    ['outbound reaches the API server', () => check(part('outbound'), apiServer, 443)],
    ['outbound reaches the web', () => check(part('outbound'), outside, 80)],
    ['migrations reach the web', () => check(part('migrate'), outside, 443)],
    ['anybody reaches a migration', () => check(stranger, part('migrate'), 8080)],
    ['the operator sends mail', () => check(part('operator'), outside, 25)],
    ['a workload reaches outbound', () => check(stranger, part('outbound'), 2525)],
  ])('deny: %s', (_, allowed) => {
    expect(allowed()).toBe(false);
  });

  test('metrics may be kept to a namespace, and the database to its place', async () => {
    const from = '[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"monitoring"}}}]';
    const objects = await render(
      `--set-json=networkPolicy.metricsFrom=${from}`,
      'database.existingSecret=pg',
      '--set-json=networkPolicy.databaseTo=[{"ipBlock":{"cidr":"198.51.100.0/24"}}]',
    );
    const flows = (peer: Peer, to: Peer, port: number) => isAllowed(policiesOf(objects), { from: peer, to, port });
    expect(flows(prometheus, partOf(objects, 'mx'), 8080)).toBe(true);
    expect(flows(stranger, partOf(objects, 'mx'), 8080)).toBe(false);
    expect(flows(partOf(objects, 'imap'), { pod: null, address: '198.51.100.5' }, 5432)).toBe(true);
    expect(flows(partOf(objects, 'imap'), outside, 5432)).toBe(false);
  });

  test('port 80 is for whom a certificate is ordered from, where it is wanted', async () => {
    expect(check(outside, part('mx'), 2080)).toBe(false);
    const objects = await render(
      'acme.enabled=true',
      'mailServer.acme.termsOfServiceAgreed=true',
      'networkPolicy.acmePorts={14000}',
    );
    const flows = (from: Peer, to: Peer, port: number) => isAllowed(policiesOf(objects), { from, to, port });
    for (const role of ['mx', 'submission', 'imap']) expect(flows(outside, partOf(objects, role), 2080)).toBe(true);
    expect(flows(outside, partOf(objects, 'outbound'), 2080)).toBe(false);
    expect(flows(outside, partOf(objects, 'operator'), 2080)).toBe(false);
    expect(flows(partOf(objects, 'operator'), outside, 14000)).toBe(true);
    expect(flows(partOf(objects, 'imap'), outside, 14000)).toBe(false);
  });

  test('none where they are not wanted', async () => {
    expect(policiesOf(await render('networkPolicy.enabled=false'))).toEqual([]);
  });
});

/** The evaluation itself, on policies whose meaning the API documents. */
describe('what a policy means', () => {
  const web: Peer = { pod: { namespace: 'a', namespaceLabels: {}, labels: { app: 'web' } }, address: '10.0.0.1' };
  const flow = { from: outside, to: web, port: 80 };
  const policy = (spec: Policy['spec']): readonly Policy[] => [{ metadata: { namespace: 'a' }, spec }];
  test('pods that nobody selects may do anything', () => {
    expect(isAllowed(policy({ podSelector: { matchLabels: { app: 'db' } } }), flow)).toBe(true);
  });
  test('an empty selector takes all pods of the namespace, and no rule allows nothing', () => {
    expect(isAllowed(policy({ podSelector: {} }), flow)).toBe(false);
    expect(isAllowed([{ metadata: { namespace: 'b' }, spec: { podSelector: {} } }], flow)).toBe(true);
  });
  test('an empty rule allows everything', () => {
    expect(isAllowed(policy({ podSelector: {}, ingress: [{}] }), flow)).toBe(true);
  });
  test('an address block has exceptions', () => {
    const from = [{ ipBlock: { cidr: '203.0.113.0/24', except: ['203.0.113.7/32'] } }];
    expect(isAllowed(policy({ podSelector: {}, ingress: [{ from }] }), flow)).toBe(false);
  });
  test('a pod selector alone is about the namespace of the policy', () => {
    const rule = [{ from: [{ podSelector: { matchLabels: { app: 'shop' } } }] }];
    expect(isAllowed(policy({ podSelector: {}, ingress: rule }), { ...flow, from: stranger })).toBe(false);
  });
});
