/** Certificates from every source into the database, on a real API server; cert-manager's part is played by the test. */
import { X509Certificate } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { putCertificate } from '#shared/directory/certificates.ts';
import { issue } from '#operator/domain/authority.ts';
import { openAuthority } from '#operator/domain/certificate-authority-secret.ts';
import { managedCertificates } from '#operator/domain/cert-manager.ts';
import { mailDomains, type MailDomain } from '#operator/api/mail-domain.ts';
import { managedLabel } from '#operator/foundation/resource-caches.ts';
import { secrets } from '#operator/kube/core-resources.ts';
import { makeAuthority, type Authority, type Issued } from '../harness/certificates.ts';
import { lacksKube } from '../harness/kube-assets.ts';
import {
  accept,
  applyDomain,
  applyServer,
  condition,
  namespace,
  openDomainBench,
  serverStatusWhen,
  statusWhen,
  type DomainBench,
} from './domain-operator.ts';

describe.skipIf(lacksKube())('certificates in a cluster', () => {
  let bench: DomainBench;
  let parts: AsyncDisposable;
  let authority: Authority;
  beforeAll(async () => {
    authority = await makeAuthority('Somebody');
    bench = await openDomainBench(null);
    await applyServer(bench.client, { domains: ['*.test'] });
    parts = await bench.open();
  }, 120_000);
  afterAll(async () => {
    await parts[Symbol.asyncDispose]();
    await bench[Symbol.asyncDispose]();
  });

  const rows = () =>
    bench.database.db
      .selectFrom('certificate')
      .select(['owner', 'names', 'is_default', 'source', 'version', 'not_after'])
      .orderBy('id')
      .execute();
  const row = async ({ kind, metadata }: { readonly kind: string; readonly metadata: { readonly uid: string } }) =>
    (await rows()).find(({ owner }) => owner === `${kind}/${metadata.uid}`);
  const putSecret = (name: string, { cert, key }: Pick<Issued, 'cert' | 'key'>, type = 'kubernetes.io/tls') =>
    bench.client.apply(secrets, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { namespace, name },
      type,
      stringData: { 'tls.crt': cert, 'tls.key': key },
    });
  const when = (name: string, expected: string) =>
    statusWhen(bench.client, name, (status) => condition(status, 'CertificateReady') === expected);
  const accepted = async (name: string, spec: Record<string, unknown>): Promise<MailDomain> => {
    const domain = await applyDomain(bench.client, name, spec);
    await accept(bench, domain);
    return domain;
  };

  test('a MailServer has one of its own authority, which clients can be told to trust; a restart makes no other', async () => {
    const status = await serverStatusWhen(
      bench.client,
      (each) => condition(each, 'CertificateReady') === 'True SelfSigned',
    );
    expect(status.tls).toMatchObject({
      mode: 'SelfSigned',
      names: ['mx.server.test'],
      secretName: 'default-server-ca',
    });
    const before = await rows();
    expect(before).toMatchObject([{ names: ['mx.server.test'], is_default: true, source: 'self-signed', version: 1 }]);
    const trust = await bench.client.get(secrets, { namespace, name: 'default-server-ca' });
    const ca = new X509Certificate(Buffer.from(trust.data?.['ca.crt'] ?? '', 'base64'));
    expect(ca.ca).toBe(true);
    await parts[Symbol.asyncDispose]();
    parts = await bench.open();
    await accepted('restart.test', {});
    await when('restart.test', 'True FromServer');
    expect(await rows()).toEqual(before);
  });

  test('it is made anew before its end', async () => {
    const { client, database, foundation } = bench;
    const [server] = foundation.resources.servers.items();
    if (!server) throw new Error('no MailServer');
    const past = new Date(Date.now() - 65 * 24 * 3600 * 1000);
    const ours = await openAuthority({ client, namespace, clock: foundation.clock });
    if (ours === 'taken') throw new Error('not the authority of the operator');
    const old = await issue(ours.material, ['mx.server.test'], past);
    const notAfter = new X509Certificate(old.certificate).validToDate;
    await putCertificate(database.db, foundation.keyring, {
      owner: `MailServer/${server.metadata.uid}`,
      resourceName: 'mail/default',
      source: 'self-signed',
      names: ['mx.server.test'],
      isDefault: true,
      notAfter,
      material: old,
    });
    // Its trust Secret is looked after as well.
    await client.delete(secrets, { namespace, name: 'default-server-ca' });
    await expect.poll(async () => (await row(server))?.version, { timeout: 20_000 }).toBe(3);
    expect((await row(server))?.not_after.getTime()).toBeGreaterThan(notAfter.getTime());
    expect(await client.get(secrets, { namespace, name: 'default-server-ca' })).toBeDefined();
  });

  test('a given Secret: what is wrong with it is told, and does not take the place of one that was good', async () => {
    const domain = await accepted('given.test', { tls: { mode: 'Secret', secretRef: { name: 'given' } } });
    expect((await when('given.test', 'False SecretNotFound')).tls?.secretName).toBe('given');
    const good = await authority.issue(['mail.given.test', 'mx.server.test']);
    await putSecret('given', good);
    await when('given.test', 'True Issued');
    // Not the name that is the server's own: who has a domain has no other's name.
    expect(await row(domain)).toMatchObject({
      names: ['mail.given.test'],
      is_default: false,
      source: 'secret',
      version: 1,
    });
    for (const bad of [
      { cert: good.cert, key: authority.key },
      { cert: 'nonsense', key: good.key },
      await authority.issue(['mail.other.test']),
    ]) {
      await putSecret('given', bad);
      await when('given.test', 'False SecretInvalid');
      await putSecret('given', good);
      await when('given.test', 'True Issued');
    }
    await putSecret('given', await authority.issue(['mail.given.test'], -1));
    const ended = await when('given.test', 'False Expired');
    expect(ended.tls?.notAfter).toBeDefined();
    expect((await row(domain))?.version).toBe(1);
    await putSecret('given', await authority.issue(['*.given.test'], 5));
    await when('given.test', 'True ExpiringSoon');
    expect(await row(domain)).toMatchObject({ names: ['*.given.test'], version: 2 });
  });

  test('cert-manager: said when it is not there, asked when it is, and its Secret is taken', async () => {
    const tls = { mode: 'CertManager', issuerRef: { name: 'ca', kind: 'ClusterIssuer' } };
    const domain = await accepted('managed.test', { tls });
    await when('managed.test', 'False CertManagerNotInstalled');
    await bench.kube.applyCrds('test/domain/crds/certificates.yaml');
    await when('managed.test', 'False IssuerNotFound');
    const at = { namespace, name: 'managed.test-mail' };
    const asked = await bench.client.get(managedCertificates, at);
    expect(asked.spec).toMatchObject({ dnsNames: ['mail.managed.test'], secretName: 'managed.test-mail-tls' });
    const say = (status: Record<string, unknown>) =>
      bench.client.patchMerge(managedCertificates, at, { status }, { subresource: 'status' });
    const failing = {
      type: 'Issuing',
      status: 'False',
      reason: 'Failed',
      message: 'no such order',
      lastTransitionTime: '2026-11-21T00:00:00Z',
    };
    const lastFailureTime = '2026-11-21T00:00:00Z';
    await say({ conditions: [failing], failedIssuanceAttempts: 2, lastFailureTime });
    const failed = await statusWhen(bench.client, 'managed.test', ({ tls: about }) => about?.failedAttempts === 2);
    expect(failed.tls?.nextAttemptTime).toBe('2026-11-21T02:00:00Z');
    await putSecret('managed.test-mail-tls', await authority.issue(['mail.managed.test']));
    await say({
      conditions: [{ ...failing, type: 'Ready', status: 'True', reason: 'Ready', observedGeneration: 1 }],
      failedIssuanceAttempts: null,
      lastFailureTime: null,
    });
    await when('managed.test', 'True Issued');
    expect(await row(domain)).toMatchObject({ names: ['mail.managed.test'], source: 'cert-manager' });
    await applyDomain(bench.client, 'managed.test', { tls: { mode: 'Server' } });
    await when('managed.test', 'True FromServer');
    expect(await row(domain)).toBeUndefined();
    await expect
      .poll(async () => (await bench.client.list(managedCertificates, { namespace })).items.length, { timeout: 20_000 })
      .toBe(0);
  }, 90_000);

  test('nothing is asked for a domain that was not accepted', async () => {
    const tls = { mode: 'CertManager', issuerRef: { name: 'ca', kind: 'ClusterIssuer' } };
    await applyDomain(bench.client, 'notmine.test', { tls });
    await when('notmine.test', 'Unknown DomainNotAccepted');
    expect((await bench.client.list(managedCertificates, { namespace })).items).toEqual([]);
  });

  test('a Secret of somebody else that has the name of the one that tells whom to trust is left as it is', async () => {
    const at = { namespace, name: 'theirs.test-mail-ca' };
    const stringData = { 'ca.crt': 'theirs' };
    await bench.client.create(secrets, { apiVersion: 'v1', kind: 'Secret', metadata: at, type: 'Opaque', stringData });
    const domain = await accepted('theirs.test', { tls: { mode: 'SelfSigned' } });
    await when('theirs.test', 'False SecretNotOwned');
    const { data, metadata } = await bench.client.get(secrets, at);
    expect(data).toEqual({ 'ca.crt': Buffer.from('theirs').toString('base64') });
    expect(metadata.ownerReferences).toBeUndefined();
    expect(await row(domain)).toMatchObject({ names: ['mail.theirs.test'] });
  });

  test('a Secret of somebody else that has the name of the authority’s is left as it is, and so is what is in use', async () => {
    const { client, foundation } = bench;
    const [server] = foundation.resources.servers.items();
    if (!server) throw new Error('no MailServer');
    const before = await row(server);
    const at = { namespace, name: 'postrider-ca' };
    const data = Object.fromEntries(['tls.crt', 'tls.key', 'ca.crt'].map((key) => [key, 'dGhlaXJz']));
    await client.patchMerge(secrets, at, { metadata: { labels: { [managedLabel]: null } }, data });
    await serverStatusWhen(client, (each) => condition(each, 'CertificateReady') === 'False SecretNotOwned');
    expect((await client.get(secrets, at)).data).toEqual(data);
    expect((await row(server))?.version).toBe(before?.version);
    await client.delete(secrets, at);
    await serverStatusWhen(client, (each) => condition(each, 'CertificateReady') === 'True SelfSigned');
  });

  test('what went while nobody looked has no certificate any more', async () => {
    const domain = await accepted('gone.test', { tls: { mode: 'SelfSigned' } });
    await when('gone.test', 'True SelfSigned');
    expect(await row(domain)).toMatchObject({ names: ['mail.gone.test'] });
    await parts[Symbol.asyncDispose]();
    await bench.client.delete(mailDomains, { namespace, name: 'gone.test' });
    await sql`delete from domain where name = 'gone.test'`.execute(bench.database.db);
    await expect.poll(() => bench.foundation.resources.domains.get(namespace, 'gone.test')).toBeUndefined();
    parts = await bench.open();
    await expect.poll(() => row(domain), { timeout: 20_000 }).toBeUndefined();
  });
});
