/** A real API server looks at everything that the chart renders, with unknown fields refused. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { startKubeApiserver, type KubeApiserver } from '../harness/kube-apiserver.ts';
import { lacksKube } from '../harness/kube-assets.ts';
import { byKind, lacksHelm, parseObjects, render, type Rendered } from './helm.ts';

describe.skipIf(lacksKube() || lacksHelm())('the API server takes what the chart renders', () => {
  let kube: KubeApiserver;
  beforeAll(async () => {
    kube = await startKubeApiserver({ crds: ['crds'] });
    for (const name of ['mail-system', 'team-a', 'team-b']) await kubectl(kube, ['create', 'namespace', name]);
  });
  afterAll(() => kube[Symbol.asyncDispose]());

  test.each([
    ['as it is', []],
    ['for an upgrade', ['--is-upgrade']],
    [
      'with load balancers, autoscaling and dashboards',
      [
        'server.autoscaling.enabled=true',
        'imap.autoscaling.sessions=500',
        'outbound.autoscaling.queueDepth=1000',
        'services.smtp.type=LoadBalancer',
        'services.submission.type=NodePort',
        'services.submission.nodePort=30587',
        'services.imap.type=LoadBalancer',
        'services.imap.loadBalancerClass=example.org/lb',
        'services.imap.loadBalancerSourceRanges={192.0.2.0/24}',
        'services.imap.ipFamilyPolicy=PreferDualStack',
        'monitoring.dashboards.enabled=true',
        'commonLabels.team=mail',
        'mailServer.domains={example.org,*.example.net}',
        'mailServer.allowedNamespaces.from=Selector',
        'mailServer.allowedNamespaces.selector.matchLabels.mail=allowed',
        'mailServer.adoptFrom=SameName',
        'mailServer.publicAddresses={192.0.2.1}',
        'mailServer.tls.mode=CertManager',
        'mailServer.tls.issuerRef.name=letsencrypt',
      ],
    ],
    [
      'with everything that pods may have',
      [
        'server.priorityClassName=system-cluster-critical',
        'server.nodeSelector.disk=ssd',
        '--set-json=server.tolerations=[{"key":"mail","operator":"Exists"}]',
        '--set-json=server.affinity={"podAntiAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":1,"podAffinityTerm":{"topologyKey":"kubernetes.io/hostname"}}]}}',
        '--set-json=server.extraEnv=[{"name":"A","value":"b"}]',
        '--set-json=server.extraVolumes=[{"name":"more","emptyDir":{}}]',
        '--set-json=server.extraVolumeMounts=[{"name":"more","mountPath":"/more"}]',
        '--set-json=imagePullSecrets=[{"name":"registry"}]',
        'server.podAnnotations.a=b',
        'server.podLabels.a=b',
      ],
    ],
    [
      'with a database elsewhere, in some namespaces',
      ['database.existingSecret=pg', 'operator.watchNamespaces={team-a,team-b}'],
    ],
  ] as const)('%s', async (_, sets) => {
    const rendered = await render(...sets);
    const objects = [...rendered, ...declaredServer(rendered)];
    const answer = await kubectl(kube, ['apply', '--dry-run=server', '--validate=strict', '-f', '-'], objects);
    expect(answer.split('\n').filter((line) => line.includes('(server dry run)'))).toHaveLength(objects.length);
  });
});

/** What the operator applies in place of the chart. */
function declaredServer(objects: readonly Rendered[]): readonly Rendered[] {
  return byKind(objects, 'ConfigMap').flatMap(({ data = {} }) => parseObjects(data['mail-server.yaml'] ?? ''));
}

async function kubectl(
  kube: KubeApiserver,
  args: readonly string[],
  objects: readonly Rendered[] = [],
): Promise<string> {
  const child = spawn(path.join(kube.assets, 'kubectl'), ['--kubeconfig', kube.kubeconfig, ...args]);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stdin.end(objects.map((object) => stringify(object)).join('---\n'));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`kubectl ${args[0]}: ${output}`);
  return output;
}
