/** A database whose resources are gone, or have other UIDs: nothing is let go of that nobody deleted. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RunningOperator } from '#operator/compose.ts';
import { secrets } from '#operator/kube/core-resources.ts';
import { createTestDatabase, type TestDatabase } from '../harness/database.ts';
import { startKubeApiserver, type KubeApiserver } from '../harness/kube-apiserver.ts';
import { lacksKube } from '../harness/kube-assets.ts';
import { startMailServer } from './mail-server.ts';
import { Cluster, exampleDomain, mailbox, mailServer, startTestOperator } from './operator-under-test.ts';

const soon = { timeout: 30_000, interval: 50 };
const names = ['alice', 'bob', 'carol', 'dave', 'erin', 'frank'];
const credential = `
apiVersion: postrider.dev/v1alpha1
kind: MailCredential
metadata: {name: shop}
spec: {allowedSenders: [orders@example.test]}
`;
const alias = `
apiVersion: postrider.dev/v1alpha1
kind: MailAlias
metadata: {name: team}
spec: {address: team@example.test, members: [alice@example.test]}
`;

describe.skipIf(lacksKube())('resources that are missing, though nobody was seen to delete them', () => {
  const stack = new AsyncDisposableStack();
  let kube: KubeApiserver;
  let database: TestDatabase;
  let cluster: Cluster;
  let operator: RunningOperator | null = null;

  beforeAll(async () => {
    database = stack.use(await createTestDatabase());
    kube = stack.use(await startKubeApiserver({ crds: ['crds'] }));
    cluster = new Cluster(kube.client());
    await cluster.apply(
      [mailServer, exampleDomain, alias, credential, ...names.map((name) => mailbox(name))].join('---'),
    );
    operator = await startTestOperator({ access: kube.access, databaseUrl: database.url });
    for (const name of names) await cluster.becomes('Mailbox', name);
    await cluster.becomes('MailAlias', 'team');
    await cluster.becomes('MailCredential', 'shop');
  }, 180_000);
  afterAll(async () => {
    await operator?.stop();
    await stack.disposeAsync();
  });

  const isReady = async (kind: string, name: string, of = cluster): Promise<void> => {
    await expect.poll(() => of.says(kind, name, 'Ready'), soon).toBe('True Ready');
  };
  const query = async <T extends object>(sql: string): Promise<readonly T[]> => {
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    try {
      return (await client.query<T>(sql)).rows;
    } finally {
      await client.end();
    }
  };
  /** Everything that tells whether a row was touched. */
  const rows = () =>
    query(`select 'account' as what, id::text, resource_uid::text as uid, xmin::text from account union all
      select 'alias', id::text, resource_uid::text, xmin::text from alias union all
      select 'domain', id::text, resource_uid::text, xmin::text from domain union all
      select 'credential', id::text, resource_uid::text, xmin::text from mail_credential order by 1, 2`);
  const inUse = async () =>
    (await query<{ name: string }>(`select local_part as name from account where retained_at is null order by 1`)).map(
      ({ name }) => name,
    );

  test('many are left as they are, the MailServer says so, and goes on when it is told that it was meant', async () => {
    await operator?.stop();
    for (const name of names.slice(1)) await cluster.delete('Mailbox', name);
    const before = await rows();
    operator = await startTestOperator({ access: kube.access, databaseUrl: database.url });
    await expect.poll(() => cluster.says('MailServer', 'default', 'Synced'), soon).toBe('False MassDetachBlocked');
    const said = await cluster.condition('MailServer', 'default', 'Synced');
    expect(said?.message).toContain('5 of 6 rows of kind Mailbox have no resource');
    // Others are followed meanwhile.
    await cluster.apply(mailbox('grace'));
    await isReady('Mailbox', 'grace');
    expect(
      (await rows()).filter((row) => before.some((other) => JSON.stringify(other) === JSON.stringify(row))),
    ).toEqual(before);
    const metrics = await (await fetch(`http://127.0.0.1:${operator.port}/metrics`)).text();
    expect(metrics).toMatch(/^postrider_operator_mass_detach_blocked 5$/m);
    await cluster.apply(
      mailServer.replace('name: default', "name: default, annotations: {postrider.dev/allow-mass-detach: 'true'}"),
    );
    await expect.poll(() => cluster.says('MailServer', 'default', 'Synced'), soon).toBe('True Synced');
    expect(await inUse()).toEqual(['alice', 'grace']);
    // Their mail is kept, and they come back with it.
    await cluster.apply(
      names
        .slice(1)
        .map((name) => mailbox(name))
        .join('---'),
    );
    for (const name of names) await isReady('Mailbox', name);
    expect(await inUse()).toEqual([...names, 'grace'].toSorted());
  }, 180_000);

  test('a cluster that was built anew over the old database: nothing moves until adoptFrom says so, then all of it does', async () => {
    await operator?.stop();
    operator = null;
    const before = await rows();
    const password = (await cluster.secret('alice-mailbox'))?.['password'] ?? '';
    const keyring = await cluster.keyring();
    await using rebuilt = await startKubeApiserver({ crds: ['crds'] });
    const anew = new Cluster(rebuilt.client());
    // From the backup: the manifests and what the keyring is in; Secrets of passwords were not in it, but for one.
    for (const [name, data] of [
      ['postrider-keyring', { keyring }],
      ['alice-mailbox', { username: 'alice@example.test', password }],
    ] as const) {
      await rebuilt.client().create(secrets, {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: {
          namespace: 'default',
          name,
          ...(name === 'alice-mailbox' && {
            labels: { 'postrider.dev/managed': 'true' },
            annotations: { 'postrider.dev/owner': 'Mailbox/alice' },
          }),
        },
        type: 'Opaque',
        stringData: data,
      });
    }
    const manifests = [exampleDomain, alias, credential, ...[...names, 'grace'].map((name) => mailbox(name))].join(
      '---',
    );
    await anew.apply(`${mailServer}---${manifests}`);
    operator = await startTestOperator({ access: rebuilt.access, databaseUrl: database.url });
    await expect.poll(() => anew.says('MailServer', 'default', 'Synced'), soon).toBe('False MassDetachBlocked');
    await expect.poll(() => anew.says('Mailbox', 'alice', 'Synced'), soon).toBe('False Conflict');
    expect(await rows()).toEqual(before);
    await anew.apply(mailServer.replace('spec: {', 'spec: {adoptFrom: SameName, '));
    for (const name of [...names, 'grace']) await isReady('Mailbox', name, anew);
    await isReady('MailAlias', 'team', anew);
    await isReady('MailCredential', 'shop', anew);
    await expect.poll(() => anew.says('MailServer', 'default', 'Synced'), soon).toBe('True Synced');
    const after = await rows();
    expect(after.map(withoutUid)).toEqual(before.map(withoutUid));
    const uids = new Set(after.map((row) => (row as { uid: string }).uid));
    for (const row of before) expect(uids).not.toContain((row as { uid: string }).uid);
    const { metadata } = await anew.get('Mailbox', 'alice');
    expect(uids).toContain(metadata.uid);
    // The password from before is the one in force; one whose Secret is lost has a new one.
    await using server = await startMailServer({ databaseUrl: database.url, keyring });
    expect(await server.logsIn('alice@example.test', password)).toBe(true);
    const bob = (await anew.secret('bob-mailbox'))?.['password'] ?? '';
    expect(await server.logsIn('bob@example.test', bob)).toBe(true);
    await operator.stop();
    operator = null;
  }, 240_000);
});

function withoutUid(row: object): object {
  const { what, id } = row as { readonly what: string; readonly id: string };
  return { what, id };
}
