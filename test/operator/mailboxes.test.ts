import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RunningOperator } from '#operator/compose.ts';
import { createTestDatabase, type TestDatabase } from '../harness/database.ts';
import { startKubeApiserver, type KubeApiserver } from '../harness/kube-apiserver.ts';
import { lacksKube } from '../harness/kube-assets.ts';
import { startMailServer, type MailServerProcess } from './mail-server.ts';
import { Cluster, exampleDomain, mailbox, mailServer, startTestOperator } from './operator-under-test.ts';

describe.skipIf(lacksKube())('mailboxes that are declared', () => {
  const stack = new AsyncDisposableStack();
  let kube: KubeApiserver;
  let database: TestDatabase;
  let cluster: Cluster;
  let operator: RunningOperator;
  let server: MailServerProcess;
  const ready = { timeout: 15_000, interval: 50 };

  beforeAll(async () => {
    database = stack.use(await createTestDatabase());
    kube = stack.use(await startKubeApiserver({ crds: ['crds'] }));
    cluster = new Cluster(kube.client());
    const log = process.env['SHOW_LOG'] ? (line: string) => void process.stdout.write(line) : undefined;
    operator = stack.use(
      await startTestOperator({ access: kube.access, databaseUrl: database.url, ...(log && { log }) }),
    );
    await cluster.apply(`${mailServer}---${exampleDomain}`);
    const keyring = await cluster.keyring();
    server = stack.use(await startMailServer({ databaseUrl: database.url, keyring }));
  }, 180_000);
  afterAll(() => stack.disposeAsync());

  const passwordOf = async (secret: string, namespace = 'default'): Promise<string> =>
    (await cluster.secret(secret, namespace))?.['password'] ?? '';
  const isReady = async (kind: string, name: string, namespace = 'default'): Promise<void> => {
    await expect.poll(() => cluster.says(kind, name, 'Ready', namespace), ready).toBe('True Ready');
  };

  /** Rows, as an administrator would look at them. */
  const query = async <T extends object>(sql: string, values: readonly unknown[] = []): Promise<readonly T[]> => {
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    try {
      return (await client.query<T>(sql, [...values])).rows;
    } finally {
      await client.end();
    }
  };
  const passwordSecret = (name: string, password: string, namespace = 'default') => `
apiVersion: v1
kind: Secret
metadata: {name: ${name}, namespace: ${namespace}}
stringData: {password: ${password}}
`;

  test('applied: it is Ready, its generated password is in a Secret, and logs in', async () => {
    await cluster.apply(mailbox('alice'));
    await isReady('Mailbox', 'alice');
    expect(await cluster.secret('alice-mailbox')).toMatchObject({ username: 'alice@example.test' });
    expect(await server.logsIn('alice@example.test', await passwordOf('alice-mailbox'))).toBe(true);
    expect(await server.logsIn('alice@example.test', 'wrong')).toBe(false);
    const { status } = await cluster.get('Mailbox', 'alice');
    const [row] = await query<{ id: string }>(`select id::text from account where local_part = 'alice'`);
    expect(status).toMatchObject({
      observedGeneration: 1,
      address: 'alice@example.test',
      accountId: row?.id,
      credentialsSecret: 'alice-mailbox',
      domainRef: { namespace: 'default', name: 'example' },
    });
    expect(operator.isLeader).toBe(true);
  });

  test('a generated Secret that is deleted is made again with a new password; the old one is refused', async () => {
    const old = await passwordOf('alice-mailbox');
    await cluster.delete('Secret', 'alice-mailbox');
    await expect.poll(() => passwordOf('alice-mailbox'), ready).toMatch(/^\w{32}$/);
    const now = await passwordOf('alice-mailbox');
    expect(now).not.toBe(old);
    await expect.poll(() => server.logsIn('alice@example.test', now), ready).toBe(true);
    expect(await server.logsIn('alice@example.test', old)).toBe(false);
  });

  test('a generated Secret that is edited sets that password', async () => {
    const old = await passwordOf('alice-mailbox');
    await cluster.apply(passwordSecret('alice-mailbox', 'typed-by-a-person'));
    await expect.poll(() => server.logsIn('alice@example.test', 'typed-by-a-person'), ready).toBe(true);
    expect(await server.logsIn('alice@example.test', old)).toBe(false);
    expect(await passwordOf('alice-mailbox')).toBe('typed-by-a-person');
  });

  test('a Secret that is referred to is followed: its new password is in force, the old one refused, in under 5 s', async () => {
    await cluster.apply(
      passwordSecret('bob-login', 'the first one') +
        '---' +
        mailbox('bob', 'password: {mode: SecretRef, secretRef: {name: bob-login}}'),
    );
    await isReady('Mailbox', 'bob');
    expect(await server.logsIn('bob@example.test', 'the first one')).toBe(true);
    const startedAt = performance.now();
    await cluster.apply(passwordSecret('bob-login', 'the second one'));
    await expect.poll(() => server.logsIn('bob@example.test', 'the first one'), ready).toBe(false);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    expect(await server.logsIn('bob@example.test', 'the second one')).toBe(true);
  });

  test('a Mailbox whose Secret is missing says so, and goes on as soon as it is there', async () => {
    await cluster.apply(mailbox('carol', 'password: {mode: SecretRef, secretRef: {name: carol-login}}'));
    await expect.poll(() => cluster.says('Mailbox', 'carol', 'Ready'), ready).toBe('False SecretNotFound');
    await cluster.apply(passwordSecret('carol-login', 'here at last'));
    await isReady('Mailbox', 'carol');
    expect(await server.logsIn('carol@example.test', 'here at last')).toBe(true);
  });

  test("somebody else's Secret under the name of a generated one is left alone, and said", async () => {
    await cluster.apply(`${passwordSecret('dave-mailbox', 'not yours')}---${mailbox('dave')}`);
    await expect.poll(() => cluster.says('Mailbox', 'dave', 'Ready'), ready).toBe('False SecretNotOwned');
    expect(await cluster.secret('dave-mailbox')).toEqual({ password: 'not yours' });
    await cluster.delete('Secret', 'dave-mailbox');
    await isReady('Mailbox', 'dave');
    expect(await server.logsIn('dave@example.test', await passwordOf('dave-mailbox'))).toBe(true);
  });

  test('an address is whose it was first, in whichever namespace another asks for it', async () => {
    await cluster.apply(`
apiVersion: postrider.dev/v1alpha1
kind: Mailbox
metadata: {name: thief, namespace: team-b}
spec: {address: alice@example.test}
`);
    await expect.poll(() => cluster.says('Mailbox', 'thief', 'Ready', 'team-b'), ready).toBe('False AddressConflict');
    expect(await cluster.secret('thief-mailbox', 'team-b')).toBeNull();
    await isReady('Mailbox', 'alice');
    await cluster.delete('Mailbox', 'thief', 'team-b');
  });

  test('a spec that changes is followed, and the status says which generation it is about', async () => {
    await cluster.apply(mailbox('bob', 'quota: 1Gi, password: {mode: SecretRef, secretRef: {name: bob-login}}'));
    await isReady('Mailbox', 'bob');
    const { status, metadata } = await cluster.get('Mailbox', 'bob');
    expect(status).toMatchObject({ observedGeneration: metadata.generation, quota: '1Gi' });
    expect(metadata.generation).toBe(2);
    expect(await query(`select quota_bytes::text from account where local_part = 'bob'`)).toEqual([
      { quota_bytes: '1073741824' },
    ]);
  });

  test('a row that is changed by hand is put right in under 5 s', async () => {
    const startedAt = performance.now();
    await query(`update account set suspended = true, quota_bytes = 5 where local_part = 'bob'`);
    const look = () => query(`select suspended, quota_bytes::text from account where local_part = 'bob'`);
    await expect.poll(look, ready).toEqual([{ suspended: false, quota_bytes: '1073741824' }]);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  });

  test('Retain: without the resource nobody logs in and the mail stays; it comes back with its password', async () => {
    const password = await passwordOf('dave-mailbox');
    const [before] = await query(`select id::text from account where local_part = 'dave'`);
    await cluster.delete('Mailbox', 'dave');
    await expect.poll(() => server.logsIn('dave@example.test', password), ready).toBe(false);
    expect(await query(`select id::text from account where local_part = 'dave'`)).toEqual([before]);
    await cluster.apply(mailbox('dave'));
    await isReady('Mailbox', 'dave');
    expect(await server.logsIn('dave@example.test', password)).toBe(true);
    expect(await query(`select id::text from account where local_part = 'dave'`)).toEqual([before]);
  });

  test('Orphan: without the resource the account stays in use', async () => {
    await cluster.apply(mailbox('erin', 'deletionPolicy: Orphan'));
    await isReady('Mailbox', 'erin');
    const password = await passwordOf('erin-mailbox');
    await cluster.delete('Mailbox', 'erin');
    const look = () => query(`select managed_by from account where local_part = 'erin'`);
    await expect.poll(look, ready).toEqual([{ managed_by: 'nobody' }]);
    expect(await server.logsIn('erin@example.test', password)).toBe(true);
  });

  test('Delete: the finalizer holds the resource until the database knows; the account goes after its time', async () => {
    await cluster.apply(mailbox('frank', 'deletionPolicy: Delete, deletionGracePeriod: 0s'));
    await isReady('Mailbox', 'frank');
    const { metadata } = await cluster.get('Mailbox', 'frank');
    expect(metadata.finalizers).toEqual(['postrider.dev/directory']);
    await cluster.delete('Mailbox', 'frank');
    await expect.poll(() => cluster.exists('Mailbox', 'frank'), ready).toBe(false);
    await expect.poll(() => query(`select from account where local_part = 'frank'`), ready).toEqual([]);
  });

  test('a domain to be deleted waits for its mailboxes, and says so', async () => {
    await cluster.apply(`
apiVersion: postrider.dev/v1alpha1
kind: MailDomain
metadata: {name: other}
spec: {domain: other.test, deletionPolicy: Delete}
---
apiVersion: postrider.dev/v1alpha1
kind: Mailbox
metadata: {name: olga}
spec: {address: olga@other.test, deletionPolicy: Delete, deletionGracePeriod: 0s}
`);
    await isReady('Mailbox', 'olga');
    await cluster.delete('MailDomain', 'other');
    await expect.poll(() => cluster.says('MailDomain', 'other', 'Deleting'), ready).toBe('True MailboxesRemain');
    expect(await cluster.says('Mailbox', 'olga', 'Ready')).toBe('True Ready');
    await cluster.delete('Mailbox', 'olga');
    await expect.poll(() => cluster.exists('MailDomain', 'other'), ready).toBe(false);
    await expect.poll(() => query(`select from domain where name = 'other.test'`), ready).toEqual([]);
  });

  test('a paused resource is left as it is, until it is not', async () => {
    const paused = (quota: string, value: string) => `
apiVersion: postrider.dev/v1alpha1
kind: Mailbox
metadata: {name: alice, annotations: {postrider.dev/paused: "${value}"}}
spec: {address: alice@example.test, quota: ${quota}}
`;
    await cluster.apply(paused('3Gi', 'true'));
    await expect.poll(() => cluster.says('Mailbox', 'alice', 'Paused'), ready).toBe('True Paused');
    const look = () => query(`select quota_bytes::text from account where local_part = 'alice'`);
    expect(await look()).toEqual([{ quota_bytes: null }]);
    expect(await cluster.says('Mailbox', 'alice', 'Synced')).toBe('nothing');
    await cluster.apply(paused('3Gi', 'false'));
    await expect.poll(look, ready).toEqual([{ quota_bytes: String(3 * 1024 ** 3) }]);
    await isReady('Mailbox', 'alice');
    await expect.poll(() => cluster.says('Mailbox', 'alice', 'Paused'), ready).toBe('nothing');
  });

  test('a MailCredential is a login in a Secret; a new password overlaps with the old one', async () => {
    await cluster.apply(`
apiVersion: postrider.dev/v1alpha1
kind: MailCredential
metadata: {name: shop}
spec: {allowedSenders: [orders@example.test], rotation: {interval: 720h, overlap: 1h}}
`);
    await isReady('MailCredential', 'shop');
    const secret = await cluster.secret('shop-smtp');
    expect(secret).toMatchObject({ host: 'mail.example.test', port: '465', username: 'shop.default' });
    expect(secret?.['uri']).toContain('@mail.example.test:465');
    const { status } = await cluster.get('MailCredential', 'shop');
    expect(status).toMatchObject({ secretName: 'shop-smtp', username: 'shop.default' });
    await query(`update mail_credential_password set created_at = now() - interval '721 hours'`);
    await query(`notify postrider_directory, 'mail_credential_password'`);
    await expect.poll(() => passwordOf('shop-smtp'), ready).not.toBe(secret?.['password']);
    const passwords = () => query(`select expires_at is null as is_present from mail_credential_password order by 1`);
    await expect.poll(passwords, ready).toEqual([{ is_present: false }, { is_present: true }]);
  });

  test('a MailServer outside of the namespace of the operator gives nobody a domain', async () => {
    await cluster.apply(`
apiVersion: postrider.dev/v1alpha1
kind: MailServer
metadata: {name: default, namespace: tenant}
spec: {hostname: mail.tenant.test, domains: [wellknown.test]}
---
apiVersion: postrider.dev/v1alpha1
kind: MailDomain
metadata: {name: wellknown, namespace: tenant}
spec: {domain: wellknown.test}
`);
    const says = () => cluster.says('MailDomain', 'wellknown', 'Accepted', 'tenant');
    await expect.poll(says, ready).toBe('False ServerNotFound');
    expect(await query(`select from domain where name = 'wellknown.test'`)).toEqual([]);
    await cluster.delete('MailDomain', 'wellknown', 'tenant');
  });

  test('the MailServer tells how the installation is', async () => {
    const look = async () => (await cluster.get('MailServer', 'default')).status;
    await expect.poll(look, ready).toMatchObject({ domains: 1, schemaVersion: expect.any(Number) as unknown });
    // The database of the tests trades durability for speed, and says so here.
    await expect.poll(() => cluster.says('MailServer', 'default', 'DatabaseDurable'), ready).toBe('False FsyncOff');
    expect(await cluster.says('MailServer', 'default', 'Accepted')).toBe('True Accepted');
    expect(await cluster.says('MailServer', 'default', 'Synced')).toBe('True Synced');
  });

  test('metrics count resources by what they are, and health says that all is there', async () => {
    const text = await (await fetch(`http://127.0.0.1:${operator.port}/metrics`)).text();
    expect(text).toMatch(/postrider_operator_objects\{kind="Mailbox",ready="True",reason="Ready"\} [1-9]/);
    expect(text).toContain('controller_runtime_reconcile_total{controller="status",result="success"}');
    expect(text).toContain('leader_election_master_status{name="postrider-operator"} 1');
    expect((await fetch(`http://127.0.0.1:${operator.port}/readyz`)).status).toBe(200);
  });
});
