/** A domain from its manifest to signed mail: challenge, records, keys; and what a restart does. */
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readClaims } from '#shared/directory/domain-claims.ts';
import { StaleEpoch, takeEpoch } from '#shared/reconcile/leader-epoch.ts';
import { mailDomains, type MailDomain } from '#operator/api/mail-domain.ts';
import { dnsEndpoints } from '#operator/domain/dns-endpoints.ts';
import { namespaces } from '#operator/kube/core-resources.ts';
import { DnsRoot } from '../harness/dns-root.ts';
import { lacksKube } from '../harness/kube-assets.ts';
import { lacks } from '../harness/programs.ts';
import {
  accept,
  applyDomain,
  applyServer,
  condition,
  namespace,
  openDomainBench,
  statusWhen,
  type DomainBench,
} from './domain-operator.ts';

const base = ['mx.server.test. A 192.0.2.1'];
const quick = { dns: { verifyInterval: '1s' } };

describe.skipIf(lacks('/usr/sbin/knotd', '/usr/sbin/unbound') || lacksKube())('a domain in a cluster', () => {
  let root: DnsRoot;
  let bench: DomainBench;
  let parts: AsyncDisposable;
  const published = [...base];
  beforeAll(async () => {
    root = await DnsRoot.start({ records: base });
    bench = await openDomainBench(root);
    await applyServer(bench.client);
    parts = await bench.open();
  }, 120_000);
  afterAll(async () => {
    await parts[Symbol.asyncDispose]();
    await bench[Symbol.asyncDispose]();
    await root[Symbol.asyncDispose]();
  });
  const publish = async (...lines: string[]): Promise<void> => {
    published.push(...lines);
    await root.publish(published);
  };
  const when = (name: string, isSo: Parameters<typeof statusWhen>[2]) => statusWhen(bench.client, name, isSo);

  test('is proved by its record, which then is not asked for any more', async () => {
    await applyDomain(bench.client, 'd.test', quick);
    const before = await when('d.test', ({ challenge }) => challenge?.state === 'Missing');
    expect(condition(before, 'DNSReady')).toBe('False ChallengeMissing');
    expect(condition(before, 'DKIMReady')).toBe('none');
    expect(before.challenge?.name).toBe('_postrider-challenge.d.test.');
    await publish(`${before.challenge?.name ?? ''} TXT "${before.challenge?.value ?? ''}"`);
    const after = await when('d.test', ({ challenge }) => challenge?.state === 'Proved');
    expect(after.dnsRecords?.some(({ purpose }) => purpose === 'challenge')).toBe(false);
    expect([...(await readClaims(bench.database.db)).keys()]).toEqual([`${namespace}/d.test`]);
  });

  test('has keys that sign when the DNS has them, and is Verified when it has all', async () => {
    const domain = await bench.client.get(mailDomains, { namespace, name: 'd.test' });
    await accept(bench, domain);
    const waiting = await when('d.test', (status) => condition(status, 'DKIMReady') === 'True AwaitingDNS');
    expect(waiting.dkim?.map(({ algorithm, state }) => `${algorithm} ${state}`).toSorted()).toEqual([
      'ed25519 Pending',
      'rsa2048 Pending',
    ]);
    const all = await when('d.test', ({ dnsRecords = [] }) => dnsRecords.some(({ purpose }) => purpose === 'dkim'));
    await publish(...(all.dnsRecords ?? []).flatMap(({ zoneLines = [] }) => zoneLines));
    const signing = await when('d.test', (status) => condition(status, 'DKIMReady') === 'True Active');
    expect(signing.dkim?.every(({ state, seenSince }) => state === 'Active' && seenSince !== undefined)).toBe(true);
    const ready = await when('d.test', (status) => condition(status, 'DNSReady') === 'True Verified');
    expect(ready.dnsCheck?.servers).toEqual(['ns.root-server']);
  });

  test('turns to a new key when the DNS has it, and the old one goes', async () => {
    const { db } = bench.database;
    await sql`update dkim_key set state_since = now() - interval '100 days' where algorithm = 'ed25519'`.execute(db);
    // A word about the resource has it looked at; otherwise it is every ten minutes.
    await applyDomain(bench.client, 'd.test', { ...quick, subaddressDelimiter: '-' });
    const rotating = await when('d.test', (status) => condition(status, 'DKIMReady') === 'True Rotating');
    const old = rotating.dkim?.find(({ algorithm, state }) => algorithm === 'ed25519' && state === 'Active');
    const next = rotating.dkim?.find(({ state }) => state === 'Pending');
    await when('d.test', (status) => condition(status, 'DNSReady') === 'False DKIMMissing');
    const lines = await when('d.test', ({ dnsRecords = [] }) => dnsRecords.some(({ name }) => name === next?.record));
    const record = lines.dnsRecords?.find(({ name }) => name === next?.record);
    await publish(...(record?.zoneLines ?? []));
    const after = await when(
      'd.test',
      ({ dkim = [] }) => dkim.length === 2 && dkim.every(({ state }) => state === 'Active'),
    );
    expect(after.dkim?.map(({ selector }) => selector)).toContain(next?.selector);
    expect(after.dkim?.map(({ selector }) => selector)).not.toContain(old?.selector);
  });

  test('is not looked at anew by a process that starts', async () => {
    await applyDomain(bench.client, 'd.test', { dns: { verifyInterval: '1h' } });
    const hourMs = 3_600_000;
    const isLater = ({ dnsCheck }: { readonly dnsCheck?: { readonly nextTime?: string } }): boolean =>
      new Date(dnsCheck?.nextTime ?? 0).getTime() > Date.now() + hourMs / 2;
    await when('d.test', isLater);
    await parts[Symbol.asyncDispose]();
    const before = await bench.client.get(mailDomains, { namespace, name: 'd.test' });
    parts = await bench.open();
    await applyDomain(bench.client, 'other.test', quick);
    await when('other.test', ({ challenge }) => challenge?.state === 'Missing');
    const after = await bench.client.get(mailDomains, { namespace, name: 'd.test' });
    expect(after.metadata.resourceVersion).toBe(before.metadata.resourceVersion);
    expect(after.status?.dnsCheck).toEqual(before.status?.dnsCheck);
  });

  test('listed in its MailServer it needs no proof', async () => {
    await applyServer(bench.client, { domains: ['*.listed.test'] });
    await applyDomain(bench.client, 'a.listed.test', quick);
    const status = await when('a.listed.test', ({ challenge }) => challenge?.state === 'Listed');
    expect(status.dnsRecords?.some(({ purpose }) => purpose === 'challenge')).toBe(false);
  });

  test('its records go to external-dns as soon as its CRD is there; nothing of a name that is not proved does', async () => {
    await applyDomain(bench.client, 'd.test', { dns: { verifyInterval: '1s', publish: 'DNSEndpoint' } });
    await applyDomain(bench.client, 'other.test', { dns: { verifyInterval: '1s', publish: 'DNSEndpoint' } });
    await accept(bench, await bench.client.get(mailDomains, { namespace, name: 'other.test' }));
    await when('d.test', (status) => condition(status, 'DNSReady') === 'False DNSEndpointCRDMissing');
    await bench.kube.applyCrds('test/domain/crds/dnsendpoints.yaml');
    await when('d.test', (status) => condition(status, 'DNSReady') === 'True Verified');
    const made = await bench.client.get(dnsEndpoints, { namespace, name: 'd.test-mail' });
    expect(made.spec.endpoints).toContainEqual({
      dnsName: 'd.test',
      recordType: 'MX',
      recordTTL: 3600,
      targets: ['10 mx.server.test'],
    });
    expect(made.spec.endpoints.some(({ dnsName }) => dnsName.startsWith('_postrider'))).toBe(false);
    const all = await bench.client.list(dnsEndpoints, { namespace });
    expect(all.items.map(({ metadata }) => metadata.name)).toEqual(['d.test-mail']);
    await applyDomain(bench.client, 'd.test', quick);
    await expect
      .poll(async () => (await bench.client.list(dnsEndpoints, { namespace })).items.length, { timeout: 20_000 })
      .toBe(0);
  }, 60_000);

  test('is kept as long as its record stands, also beside that of another namespace; missing long, it is lost', async () => {
    const { client, database } = bench;
    const { db } = database;
    const rival = { namespace: 'rival', name: 'd.test' };
    await client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: rival.namespace } });
    await client.create(mailDomains, {
      apiVersion: 'postrider.dev/v1alpha1',
      kind: 'MailDomain',
      metadata: rival,
      spec: { domain: 'd.test', serverRef: { name: 'default', namespace }, ...quick } as unknown as MailDomain['spec'],
    });
    const rivals = async () => (await client.get(mailDomains, rival)).status?.challenge;
    const soon = { timeout: 30_000 };
    await expect.poll(async () => (await rivals())?.state, soon).toBe('Missing');
    const holders = async () => [...(await readClaims(db)).keys()].toSorted();
    const missing = async () =>
      (await db.selectFrom('domain_claim').select('namespace').where('missing_since', 'is not', null).execute()).map(
        (row) => row.namespace,
      );
    const line = `${(await rivals())?.name ?? ''} TXT "${(await rivals())?.value ?? ''}"`;
    await root.publish([...published, line]);
    await expect.poll(holders, soon).toEqual([`${namespace}/d.test`, 'rival/d.test']);
    expect(await missing()).toEqual([]);
    // The first one's record is taken away: it is told, and has time.
    const { challenge } = await when('d.test', ({ challenge: each }) => each?.state === 'Proved');
    const without = published.filter((each) => !each.includes(challenge?.value ?? ''));
    expect(without).toHaveLength(published.length - 1);
    await root.publish([...without, line]);
    const told = await when('d.test', ({ challenge: each }) => each?.state === 'Missing');
    expect(condition(told, 'DNSReady')).toBe('False ChallengeMismatch');
    expect(await missing()).toEqual([namespace]);
    expect(await holders()).toEqual([`${namespace}/d.test`, 'rival/d.test']);
    // Back in time.
    await root.publish([...published, line]);
    await expect.poll(missing, soon).toEqual([]);
    // Missing for all of the time: lost.
    await root.publish([...without, line]);
    await expect.poll(missing, soon).toEqual([namespace]);
    await sql`update domain_claim set missing_since = now() - interval '25 hours' where missing_since is not null`.execute(
      db,
    );
    await expect.poll(holders, soon).toEqual(['rival/d.test']);
    // What is left of it goes, for the tests that follow.
    await client.delete(mailDomains, rival);
    await sql`delete from domain_claim`.execute(db);
    await root.publish(published);
    await expect.poll(holders, soon).toEqual([`${namespace}/d.test`]);
  }, 180_000);

  test('keeps its claim when the DNS is away', async () => {
    await root.publish(base);
    const status = await when('d.test', (each) => condition(each, 'DNSReady') === 'False MXMissing');
    expect(status.challenge?.state).toBe('Proved');
    expect(condition(status, 'DKIMReady')).toBe('True Active');
  });

  test('proves nothing to a process that another leader has taken the database from', async () => {
    await applyDomain(bench.client, 'late.test', quick);
    const { challenge } = await when('late.test', (status) => status.challenge?.state === 'Missing');
    await takeEpoch(bench.database.db, 'another');
    await root.publish([...base, `${challenge?.name ?? ''} TXT "${challenge?.value ?? ''}"`]);
    await expect(bench.deposed).rejects.toThrow(StaleEpoch);
    expect([...(await readClaims(bench.database.db)).keys()]).toEqual([`${namespace}/d.test`]);
  });
});
