/** Secrets that the operator writes, while its cache lags behind what is there. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { MailServer } from '#operator/api/mail-server.ts';
import { CredentialHosts } from '#operator/directory/credential-hosts.ts';
import { OwnedSecrets, type OwnedSecret } from '#operator/directory/owned-secrets.ts';
import type { ResourceCache, ResourceCaches } from '#operator/foundation/resource-caches.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { secrets, type Secret } from '#operator/kube/core-resources.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import { startKubeApiserver } from '../harness/kube-apiserver.ts';
import { lacksKube } from '../harness/kube-assets.ts';

const namespace = 'default';

/** What a cache has heard so far. */
class Heard<T extends KubeObject> implements ResourceCache<T> {
  objects: readonly T[] = [];
  items = (): readonly T[] => this.objects;
  get = (_: string, name: string): T | undefined => this.objects.find(({ metadata }) => metadata.name === name);
  byUid = (uid: string): T | undefined => this.objects.find(({ metadata }) => metadata.uid === uid);
  onChange = (): Disposable => new DisposableStack();
}

describe.skipIf(lacksKube())('a Secret of the operator', () => {
  const stack = new AsyncDisposableStack();
  let client: KubeClient;
  let managed: Heard<Secret>;
  let servers: Heard<MailServer>;
  let owned: OwnedSecrets;
  let hosts: CredentialHosts;
  let count = 0;
  let name = '';

  beforeAll(async () => {
    client = stack.use(await startKubeApiserver()).client();
  }, 180_000);
  afterAll(() => stack.disposeAsync());
  beforeEach(() => {
    count += 1;
    name = `secret-${count}`;
    managed = new Heard();
    servers = new Heard();
    const caches: Pick<ResourceCaches, 'managedSecrets' | 'otherSecrets' | 'servers'> = {
      managedSecrets: managed,
      otherSecrets: new Heard(),
      servers,
    };
    owned = new OwnedSecrets(client, caches);
    hosts = new CredentialHosts(caches, owned);
  });

  const owner: KubeObject = {
    apiVersion: 'postrider.dev/v1alpha1',
    kind: 'MailCredential',
    metadata: { namespace, name: 'shop', uid: 'u1', resourceVersion: '1', creationTimestamp: '2026-01-01T00:00:00Z' },
  };
  const wanted = (password: string, more: Readonly<Record<string, string>> = {}): OwnedSecret => ({
    owner,
    name,
    values: { password, ...more },
    generatedMark: null,
    goesWithOwner: false,
  });
  const there = () => client.get(secrets, { namespace, name });
  const password = async (): Promise<string> =>
    Buffer.from((await there()).data?.['password'] ?? '', 'base64').toString('utf8');
  const values = async (): Promise<Readonly<Record<string, string>>> => {
    const { data = {} } = await there();
    return Object.fromEntries(
      Object.entries(data).map(([key, text]) => [key, Buffer.from(text, 'base64').toString('utf8')]),
    );
  };
  const refresh = (): Promise<void> => {
    const facts = { kind: 'MailCredential', username: 'shop.default', secretName: name };
    const result = { verdicts: new Map([['u1', { facts }]]) } as unknown as Parameters<CredentialHosts['refresh']>[0];
    const gathered = { objects: new Map([['u1', owner]]) } as unknown as Parameters<CredentialHosts['refresh']>[1];
    return hosts.refresh(result, gathered);
  };
  const serverOf = (spec: Partial<MailServer['spec']>): MailServer => ({
    apiVersion: 'postrider.dev/v1alpha1',
    kind: 'MailServer',
    metadata: { ...owner.metadata, name: 'default', uid: 'u2' },
    spec: spec as MailServer['spec'],
  });
  const hear = async (): Promise<void> => {
    managed.objects = [await there()];
  };

  test('that was made a moment ago, and the cache has not heard of, is no stranger’s', async () => {
    expect(await owned.put(wanted('first'))).toBe('written');
    expect(await owned.put(wanted('first'))).toBe('written');
    expect(await owned.put(wanted('second'))).toBe('behind');
    expect(await password()).toBe('first');
    await hear();
    expect(await owned.put(wanted('second'))).toBe('written');
    expect(await password()).toBe('second');
  });

  test('of a stranger stays as it is', async () => {
    const body = { apiVersion: 'v1', kind: 'Secret', metadata: { namespace, name }, type: 'Opaque' } as const;
    await client.create(secrets, { ...body, stringData: { password: 'theirs' } });
    expect(await owned.put(wanted('ours'))).toBe('taken');
    expect(await password()).toBe('theirs');
  });

  test('is not written over with a password that is older than it', async () => {
    await owned.put(wanted('first'));
    await hear();
    // Rotated, or edited by somebody; the cache still has the one before.
    await client.patchMerge(secrets, { namespace, name }, { stringData: { password: 'second' } });
    expect(await owned.put(wanted('first', { host: 'mail.example.test' }))).toBe('behind');
    expect(await password()).toBe('second');
    await client.delete(secrets, { namespace, name });
    expect(await owned.put(wanted('first', { host: 'mail.example.test' }))).toBe('behind');
    await expect(there()).rejects.toThrow('not found');
  });

  test('keeps its host while there is no MailServer, and whom to trust while that is not known', async () => {
    await owned.put(wanted('first', { host: 'mail.example.test', 'ca.crt': 'trusted' }));
    await hear();
    const [before] = managed.objects;
    await refresh();
    expect(hosts.hostFor(owner, name)).toBeNull();
    expect((await there()).metadata.resourceVersion).toBe(before?.metadata.resourceVersion);
    // Made anew, with another host name, and nothing in its status yet.
    servers.objects = [serverOf({ hostname: 'mx.example.test' })];
    await refresh();
    expect(await values()).toMatchObject({ host: 'mx.example.test', 'ca.crt': 'trusted', password: 'first' });
  });

  test('says no more whom to trust once the server’s certificate is another authority’s', async () => {
    const trust = { apiVersion: 'v1', kind: 'MailServer', name: 'default', uid: 'u2' };
    const published = await client.create(secrets, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { namespace, name: `${name}-server-ca`, ownerReferences: [trust] },
      type: 'Opaque',
      stringData: { 'ca.crt': 'ours' },
    });
    await owned.put(wanted('first', { 'ca.crt': 'ours' }));
    servers.objects = [serverOf({ hostname: 'mx.example.test', tls: { mode: 'ACME' } })];
    // Before the last refresh with what the one before has written.
    for (const _ of [1, 2]) {
      managed.objects = [await there(), published];
      await refresh();
    }
    expect(await values()).toMatchObject({ host: 'mx.example.test', password: 'first' });
    expect(await values()).not.toHaveProperty('ca.crt');
    await client.patchMerge(secrets, { namespace, name }, { stringData: { 'ca.crt': 'of somebody' } });
    managed.objects = [await there(), published];
    await refresh();
    expect(await values()).toHaveProperty('ca.crt', 'of somebody');
  });
});
