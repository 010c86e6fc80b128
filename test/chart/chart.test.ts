import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { loadServerConfig } from '#shared/config/server-config.ts';
import { loadOperatorConfig } from '#shared/config/operator-config.ts';
import { mailServerSpec } from '#shared/provisioning/mail-server.ts';
import { byKind, byName, chartFolder, helm, lacksHelm, podsOf, render, type Rendered } from './helm.ts';
import { restrictedViolations } from './pod-security.ts';

const roles = ['mx', 'submission', 'imap', 'outbound'] as const;

describe.skipIf(lacksHelm())('the chart', () => {
  let objects: readonly Rendered[];
  /** With everything on that can be. */
  let all: readonly Rendered[];
  beforeAll(async () => {
    objects = await render();
    all = await render(
      'server.autoscaling.enabled=true',
      'imap.autoscaling.sessions=500',
      'outbound.autoscaling.queueDepth=1000',
      'monitoring.serviceMonitor.enabled=true',
      'monitoring.prometheusRule.enabled=true',
      'monitoring.dashboards.enabled=true',
      'services.smtp.type=LoadBalancer',
      'services.imap.type=NodePort',
      'operator.externalDNS=true',
      'acme.enabled=true',
    );
  });

  test('passes helm lint, with warnings as errors', async () => {
    await expect(helm('lint', '--strict', chartFolder)).resolves.toContain('0 chart(s) failed');
  });

  test('every object has the usual labels, and a namespace where it takes one', () => {
    const ofCluster = new Set(['ClusterRole', 'ClusterRoleBinding', 'CustomResourceDefinition']);
    for (const { kind, metadata } of all) {
      expect(metadata.labels, `${kind}/${metadata.name}`).toMatchObject({
        'app.kubernetes.io/name': 'postrider',
        'app.kubernetes.io/instance': 'mail',
      });
      expect(metadata.namespace, `${kind}/${metadata.name}`).toBe(ofCluster.has(kind) ? undefined : 'mail-system');
    }
  });

  test('no two objects have the same name', () => {
    const names = all.map(({ apiVersion, kind, metadata }) => `${apiVersion} ${kind} ${metadata.name}`);
    expect(new Set(names).size).toBe(names.length);
  });

  describe('values', () => {
    test.each([
      'unknown=1',
      'server.replcas=3',
      'imap.replcas=3',
      'image.tagg=1',
      'services.imap.tlsport=994',
      'services.pop3.port=110',
      'database.bundled.sise=1Gi',
      'operator.podDisruptionBudget.minAvailable=1',
      'imap.resources.request.cpu=1',
      'monitoring.podMonitor.enabled=true',
      'config.QUEUE_EXPIRI=1h',
      'config.HTTP_PORT=81',
      'operator.config.LEASE=a',
    ])('refuses %s', async (set) => {
      await expect(render(set)).rejects.toThrow(/not allowed|invalid propertyName/);
    });

    test.each([
      'services.smtp.type=External',
      'hostname=Mail.Example.Org',
      'server.replicas=many',
      'image.digest=latest',
      'mailServer.adoptFrom=Always',
    ])('refuses %s', async (set) => {
      await expect(render(set)).rejects.toThrow("values don't meet the specifications");
    });

    test('a role wins over what holds for all', async () => {
      const some = await render(
        'server.replicas=1',
        'imap.replicas=4',
        'config.QUEUE_EXPIRY=96h',
        'imap.config.LOG_LEVEL=debug',
      );
      const replicas = roles.map((role) => byName(some, 'Deployment', `mail-postrider-${role}`).spec?.['replicas']);
      expect(replicas).toEqual([1, 1, 4, 1]);
      expect(byName(some, 'ConfigMap', 'mail-postrider-imap').data).toMatchObject({
        POSTRIDER_QUEUE_EXPIRY: '96h',
        POSTRIDER_LOG_LEVEL: 'debug',
      });
      expect(byName(some, 'ConfigMap', 'mail-postrider-mx').data).not.toHaveProperty('POSTRIDER_LOG_LEVEL');
    });

    test('an image may be named by its digest', async () => {
      const digest = `sha256:${'a'.repeat(64)}`;
      const some = await render(`image.digest=${digest}`, 'image.registry=registry.example.org');
      const images = podsOf(some).map(({ pod }) => pod.spec.containers[0]?.image);
      expect(images).toContain(`registry.example.org/postrider/server@${digest}`);
    });
  });

  describe('pods', () => {
    test('all may run where PodSecurity enforces "restricted", on a read-only root file system', () => {
      const pods = podsOf(all);
      expect(pods.map(({ of }) => of).sort()).toEqual([
        'Deployment/mail-postrider-imap',
        'Deployment/mail-postrider-mx',
        'Deployment/mail-postrider-operator',
        'Deployment/mail-postrider-outbound',
        'Deployment/mail-postrider-submission',
        'Job/mail-postrider-migrate-1',
        'Pod/mail-postrider-test',
        'StatefulSet/mail-postrider-database',
      ]);
      for (const { of, pod } of pods) {
        expect(restrictedViolations(pod), of).toEqual([]);
        for (const container of pod.spec.containers) {
          expect(container.securityContext?.readOnlyRootFilesystem, of).toBe(true);
        }
      }
    });

    test('the check itself sees what is wrong', () => {
      const pod = podsOf(objects)[0]?.pod;
      if (pod === undefined) throw new Error('no pod');
      const bare = {
        ...pod,
        spec: { containers: [{ name: 'a', image: 'b' }], volumes: [{ name: 'h', hostPath: {} }] },
      };
      expect(restrictedViolations(bare)).toHaveLength(5);
    });

    test('only the operator has a token', () => {
      for (const { of, pod } of podsOf(all)) {
        expect(pod.spec.automountServiceAccountToken, of).toBe(of === 'Deployment/mail-postrider-operator');
        expect(pod.spec.enableServiceLinks, of).toBe(false);
      }
      for (const account of byKind(all, 'ServiceAccount')) {
        expect((account as { automountServiceAccountToken?: boolean }).automountServiceAccountToken).toBe(false);
      }
    });

    test('servers get longer to end than they ask for', async () => {
      const some = await render('imap.graceSeconds=300', 'imap.drainDelaySeconds=20');
      const pod = podsOf([byName(some, 'Deployment', 'mail-postrider-imap')])[0]?.pod;
      expect(pod?.spec.terminationGracePeriodSeconds).toBe(310);
      expect(byName(some, 'ConfigMap', 'mail-postrider-imap').data).toMatchObject({
        POSTRIDER_GRACE_PERIOD: '300s',
        POSTRIDER_DRAIN_DELAY: '20s',
      });
    });

    test('a changed setting of a role starts its pods again, and no others', async () => {
      const some = await render('imap.config.LOG_LEVEL=debug');
      const checksum = (of: readonly Rendered[], role: string) =>
        podsOf([byName(of, 'Deployment', `mail-postrider-${role}`)])[0]?.pod.metadata.annotations?.['checksum/config'];
      expect(checksum(some, 'imap')).not.toBe(checksum(objects, 'imap'));
      expect(checksum(some, 'mx')).toBe(checksum(objects, 'mx'));
    });

    test('nothing that a new version of the chart changes is in the labels of pods', () => {
      for (const { of, pod } of podsOf(all)) {
        expect(Object.keys(pod.metadata.labels), of).not.toContain('helm.sh/chart');
        expect(Object.keys(pod.metadata.labels), of).not.toContain('app.kubernetes.io/version');
      }
    });
  });

  describe('settings', () => {
    test.each(roles)('%s: the program takes them as they are', async (role) => {
      const { data = {} } = byName(await render('hostname=mail.example.org'), 'ConfigMap', `mail-postrider-${role}`);
      // The files are there in pods alone.
      const { POSTRIDER_DATABASE_URL_FILE: file, ...environment } = data;
      expect(file).toBe('/etc/postrider/database/uri');
      const { config, warnings } = loadServerConfig({
        environment: { ...environment, POSTRIDER_DATABASE_URL: 'postgres://a:b@c/d' },
        isLocal: false,
      });
      expect(warnings).toEqual([]);
      expect(config).toMatchObject({
        hostname: 'mail.example.org',
        migrations: 'await',
        roles: role === 'outbound' ? ['outbound', 'janitor'] : [role],
      });
    });

    test('operator: the program takes them as they are', () => {
      const pod = podsOf([byName(objects, 'Deployment', 'mail-postrider-operator')])[0]?.pod;
      const given = Object.fromEntries((pod?.spec.containers[0]?.env ?? []).map(({ name, value }) => [name, value]));
      const { POSTRIDER_DATABASE_URL_FILE: file, ...environment } = given;
      expect(file).toBe('/etc/postrider/database/uri');
      const { config, warnings } = loadOperatorConfig({ ...environment, POSTRIDER_DATABASE_URL: 'postgres://a:b@c/d' });
      expect(warnings).toEqual([]);
      expect(config).toMatchObject({
        leaseName: 'mail-postrider-operator',
        keyringSecret: 'mail-postrider-keyring',
        watchedNamespaces: [],
      });
    });
  });

  test('load balancers that are named are believed, and none else', async () => {
    const some = await render(
      'proxyProtocol.networks={192.0.2.1/32,192.0.2.2/32}',
      'proxyProtocol.listeners={mx,imaps}',
    );
    const { data = {} } = byName(some, 'ConfigMap', 'mail-postrider-mx');
    expect(data).toMatchObject({
      POSTRIDER_PROXY_PROTOCOL_NETWORKS: '192.0.2.1/32,192.0.2.2/32',
      POSTRIDER_PROXY_PROTOCOL_LISTENERS: 'mx,imaps',
    });
    const { POSTRIDER_DATABASE_URL_FILE: _, ...environment } = data;
    const given = { ...environment, POSTRIDER_DATABASE_URL: 'postgres://a:b@c/d' };
    expect(() => loadServerConfig({ environment: given, isLocal: false })).not.toThrow();
    expect(byName(objects, 'ConfigMap', 'mail-postrider-mx').data).not.toHaveProperty(
      'POSTRIDER_PROXY_PROTOCOL_NETWORKS',
    );
  });

  test('with acme every Service of mail has port 80, and its pods answer there', async () => {
    for (const [name, role] of [
      ['smtp', 'mx'],
      ['submission', 'submission'],
      ['imap', 'imap'],
    ] as const) {
      const { spec } = byName(all, 'Service', `mail-postrider-${name}`);
      expect(spec?.['ports']).toContainEqual({ name: 'acme', port: 80, targetPort: 'acme' });
      const [container] = podsOf([byName(all, 'Deployment', `mail-postrider-${role}`)])[0]?.pod.spec.containers ?? [];
      expect(container?.ports).toContainEqual({ name: 'acme', containerPort: 2080 });
      expect(byName(all, 'ConfigMap', `mail-postrider-${role}`).data).toMatchObject({
        POSTRIDER_ACME_HTTP_PORT: '2080',
      });
    }
    expect(byName(all, 'ConfigMap', 'mail-postrider-outbound').data).not.toHaveProperty('POSTRIDER_ACME_HTTP_PORT');
    await expect(render('mailServer.tls.mode=ACME')).rejects.toThrow('says nothing of an authority');
    const some = await render('mailServer.tls.mode=ACME', 'mailServer.acme.termsOfServiceAgreed=true');
    const declared = byName(some, 'ConfigMap', 'mail-postrider-operator').data?.['mail-server.yaml'] ?? '';
    const server = parse(declared) as { readonly spec: unknown };
    expect(server.spec).toMatchObject({ tls: { mode: 'ACME' }, acme: { termsOfServiceAgreed: true } });
    expect(mailServerSpec.safeParse(server.spec).error).toBeUndefined();
  });

  describe('services', () => {
    test('lead from the ports of the standards to ports that need no right', () => {
      const ports = byKind(objects, 'Service')
        .filter(({ metadata }) => /-(?:smtp|submission|imap)$/.test(metadata.name ?? ''))
        .flatMap(({ spec }) => spec?.['ports'] as readonly { port: number; targetPort: string }[])
        .map(({ port, targetPort }) => [port, targetPort]);
      expect(Object.fromEntries(ports)).toEqual({
        25: 'smtp',
        143: 'imap',
        465: 'submissions',
        587: 'submission',
        993: 'imaps',
      });
      const containerPorts = podsOf(objects).flatMap(({ pod }) =>
        pod.spec.containers.flatMap(({ ports = [] }) => ports),
      );
      for (const { containerPort } of containerPorts) expect(containerPort).toBeGreaterThan(1023);
    });

    test('keep the address of the client where the type can, and say nothing of it where it can not', () => {
      const policy = (name: string) => byName(all, 'Service', `mail-postrider-${name}`).spec?.['externalTrafficPolicy'];
      expect([policy('smtp'), policy('submission'), policy('imap')]).toEqual(['Local', undefined, 'Local']);
    });

    test('each selects the pods of its role', () => {
      for (const [name, role] of [
        ['smtp', 'mx'],
        ['submission', 'submission'],
        ['imap', 'imap'],
      ] as const) {
        const { spec } = byName(objects, 'Service', `mail-postrider-${name}`);
        const pod = podsOf([byName(objects, 'Deployment', `mail-postrider-${role}`)])[0]?.pod;
        expect(pod?.metadata.labels).toMatchObject(spec?.['selector'] as object);
        const others = podsOf(objects).filter(({ of }) => of !== `Deployment/mail-postrider-${role}`);
        for (const { pod: other } of others)
          expect(other.metadata.labels).not.toMatchObject(spec?.['selector'] as object);
      }
    });
  });

  test('the autoscaler looks at CPU, sessions and the queue, and the number of pods is left to it', () => {
    const metrics = (role: string) => {
      const { spec = {} } = byName(all, 'HorizontalPodAutoscaler', `mail-postrider-${role}`);
      return (spec['metrics'] as readonly { type: string }[]).map(({ type }) => type);
    };
    expect([metrics('mx'), metrics('imap'), metrics('outbound')]).toEqual([
      ['Resource'],
      ['Resource', 'Pods'],
      ['Resource', 'External'],
    ]);
    for (const role of roles) {
      expect(byName(all, 'Deployment', `mail-postrider-${role}`).spec).not.toHaveProperty('replicas');
    }
  });

  describe('the database', () => {
    const secretOf = (of: readonly Rendered[]) =>
      podsOf(of).flatMap(({ pod }) => (pod.spec.volumes ?? []).filter(({ name }) => name === 'database'));

    test('is the one of a Secret', async () => {
      const some = await render('database.existingSecret=pg', 'database.existingSecretKey=url');
      expect(byKind(some, 'StatefulSet')).toEqual([]);
      expect(byKind(some, 'Secret')).toEqual([]);
      for (const { secret } of secretOf(some)) {
        expect(secret).toMatchObject({ secretName: 'pg', items: [{ key: 'url', path: 'uri' }] });
      }
    });

    test('is a Cluster of CloudNativePG', async () => {
      const some = await render('database.cloudNativePG=mail-db');
      expect(byKind(some, 'StatefulSet')).toEqual([]);
      for (const { secret } of secretOf(some)) {
        expect(secret).toMatchObject({ secretName: 'mail-db-app', items: [{ key: 'uri', path: 'uri' }] });
      }
    });

    test('is the bundled one, whose password stays with its volume', () => {
      expect(byName(objects, 'Secret', 'mail-postrider-database').metadata.annotations).toEqual({
        'helm.sh/resource-policy': 'keep',
      });
    });
  });

  describe('migrations', () => {
    test('an ordinary Job at an install, a hook before an upgrade', async () => {
      expect(byName(objects, 'Job', 'mail-postrider-migrate-1').metadata.annotations).toBeUndefined();
      const upgrade = await render('--is-upgrade');
      expect(byName(upgrade, 'Job', 'mail-postrider-migrate-1').metadata.annotations).toMatchObject({
        'helm.sh/hook': 'pre-upgrade',
      });
    });

    test('the hook needs nothing that comes with the upgrade', async () => {
      const upgrade = await render('--is-upgrade');
      const pod = podsOf([byName(upgrade, 'Job', 'mail-postrider-migrate-1')])[0]?.pod;
      expect(pod?.spec.containers[0]?.envFrom).toBeUndefined();
      expect(pod?.spec.volumes?.map(({ name }) => name)).toEqual(['database']);
    });
  });

  describe('CustomResourceDefinitions', () => {
    test('are those of crds/, and stay when the chart goes', () => {
      const crds = byKind(objects, 'CustomResourceDefinition');
      expect(crds).toHaveLength(7);
      for (const crd of crds) {
        const source = parse(readFileSync(`crds/${crd.metadata.name.split('.')[0]}.yaml`, 'utf8')) as Rendered;
        expect(crd.spec).toEqual(source.spec);
        expect(crd.metadata.annotations).toMatchObject({ 'helm.sh/resource-policy': 'keep' });
      }
    });

    test('may be left to somebody else', async () => {
      expect(byKind(await render('crds.enabled=false'), 'CustomResourceDefinition')).toEqual([]);
      const going = byKind(await render('crds.keep=false'), 'CustomResourceDefinition');
      for (const { metadata } of going)
        expect(metadata.annotations ?? {}).not.toHaveProperty('helm.sh/resource-policy');
    });
  });

  test('what it needs from the operator is not there without the operator', async () => {
    const some = await render('operator.enabled=false');
    const names = some.map(({ metadata }) => metadata.name).filter((name) => /operator|test/.test(name ?? ''));
    expect(names).toEqual([]);
  });

  test('further objects are templates', async () => {
    const object = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"{{ .Release.Name }}-more"}}';
    expect(
      byName(await render(`--set-json=extraObjects=[${JSON.stringify(object)}]`), 'ConfigMap', 'mail-more'),
    ).toBeDefined();
  });
});
