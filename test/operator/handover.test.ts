/** A domain whose proof comes to be another namespace's. What the DNS says of it is test/domain's concern. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../harness/database.ts';
import { startKubeApiserver } from '../harness/kube-apiserver.ts';
import { lacksKube } from '../harness/kube-assets.ts';
import { startMailServer, type MailServerProcess } from './mail-server.ts';
import { Cluster, mailServer, startTestOperator } from './operator-under-test.ts';

const soon = { timeout: 30_000, interval: 50 };
const ceo = 'ceo@moved.example';

describe.skipIf(lacksKube())('a domain that changes hands', () => {
  const stack = new AsyncDisposableStack();
  let database: TestDatabase;
  let cluster: Cluster;
  let server: MailServerProcess;

  beforeAll(async () => {
    database = stack.use(await createTestDatabase());
    const kube = stack.use(await startKubeApiserver({ crds: ['crds'] }));
    cluster = new Cluster(kube.client());
    await cluster.apply(mailServer);
    stack.use(
      await startTestOperator({
        access: kube.access,
        databaseUrl: database.url,
        // No name server answers: claims are the test's.
        env: { DNS_SERVERS: '127.0.0.1:1' },
      }),
    );
    const keyring = await cluster.keyring();
    server = stack.use(await startMailServer({ databaseUrl: database.url, keyring }));
  }, 180_000);
  afterAll(() => stack.disposeAsync());

  const query = async <T extends object>(sql: string): Promise<readonly T[]> => {
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    try {
      return (await client.query<T>(sql)).rows;
    } finally {
      await client.end();
    }
  };
  const claim = (namespace: string, age: string) =>
    query(`insert into domain_claim (namespace, domain, proved_at)
      values ('${namespace}', 'moved.example', now() - interval '${age}')`);
  const giveUp = (namespace: string) => query(`delete from domain_claim where namespace = '${namespace}'`);
  const says =
    (kind: string, name: string, namespace: string, type = 'Ready') =>
    () =>
      cluster.says(kind, name, type, namespace);
  const passwordOf = async (namespace: string): Promise<string> =>
    (await cluster.secret('ceo-mailbox', namespace))?.['password'] ?? '';
  const accountOf = (namespace: string) =>
    query(`select id::text from account where resource_name = '${namespace}/ceo'`);
  const senders = async () =>
    (await query<{ allowed_senders: string[] }>('select allowed_senders from mail_credential'))[0]?.allowed_senders;

  test('both have shown it: it stays whose it was, and the other is told', async () => {
    await cluster.apply(tenant('red'));
    await claim('red', '2 days');
    await expect.poll(says('Mailbox', 'ceo', 'red'), soon).toBe('True Ready');
    await expect.poll(senders, soon).toEqual([ceo]);
    await cluster.apply(tenant('green'));
    await claim('green', '1 minute');
    await expect.poll(says('MailDomain', 'moved', 'green'), soon).toBe('False DomainConflict');
    expect(await cluster.says('MailDomain', 'moved', 'Accepted', 'red')).toBe('True Accepted');
    expect(await server.logsIn(ceo, await passwordOf('red'))).toBe(true);
  });

  test('the first one has lost it: the other gets it empty, and reads nobody’s mail', async () => {
    const before = await accountOf('red');
    await query(`update domain_claim set proved_at = now() - interval '25 hours' where namespace = 'green'`);
    await giveUp('red');
    await expect.poll(says('MailDomain', 'moved', 'green'), soon).toBe('True Ready');
    await expect.poll(says('Mailbox', 'ceo', 'green'), soon).toBe('True Ready');
    await expect.poll(says('MailDomain', 'moved', 'red', 'Accepted'), soon).toBe('False DomainNotProved');
    expect((await cluster.condition('MailDomain', 'moved', 'Accepted', 'red'))?.message).toContain('green/moved');
    await expect.poll(says('Mailbox', 'ceo', 'red', 'Accepted'), soon).toBe('False NamespaceNotAllowed');
    expect(await accountOf('red')).toEqual(before);
    expect(await accountOf('green')).not.toEqual(before);
    expect(await server.logsIn(ceo, await passwordOf('green'))).toBe(true);
    await expect.poll(() => passwordOf('red').then((password) => server.logsIn(ceo, password)), soon).toBe(false);
    await expect.poll(senders, soon).toEqual([]);
  });

  test('it comes back: with the account and the password from before', async () => {
    const before = await accountOf('red');
    await claim('red', '25 hours');
    // The other's still stands, and whose it is stays so.
    await expect.poll(says('MailDomain', 'moved', 'red', 'Accepted'), soon).toBe('False DomainConflict');
    expect(await cluster.says('MailDomain', 'moved', 'Accepted', 'green')).toBe('True Accepted');
    await giveUp('green');
    await expect.poll(says('MailDomain', 'moved', 'red'), soon).toBe('True Ready');
    await expect.poll(says('Mailbox', 'ceo', 'red'), soon).toBe('True Ready');
    expect(await accountOf('red')).toEqual(before);
    await expect.poll(() => passwordOf('red').then((password) => server.logsIn(ceo, password)), soon).toBe(true);
    await expect.poll(() => passwordOf('green').then((password) => server.logsIn(ceo, password)), soon).toBe(false);
    await expect.poll(senders, soon).toEqual([ceo]);
    expect(await cluster.says('MailDomain', 'moved', 'Accepted', 'green')).toBe('False DomainNotProved');
  });
});

function tenant(namespace: string): string {
  const credential = `
---
apiVersion: postrider.dev/v1alpha1
kind: MailCredential
metadata: {name: shop, namespace: ${namespace}}
spec: {allowedSenders: [${ceo}]}
`;
  return `
apiVersion: postrider.dev/v1alpha1
kind: MailDomain
metadata: {name: moved, namespace: ${namespace}}
spec: {domain: moved.example, serverRef: {name: default, namespace: default}}
---
apiVersion: postrider.dev/v1alpha1
kind: Mailbox
metadata: {name: ceo, namespace: ${namespace}}
spec: {address: ${ceo}}
${namespace === 'red' ? credential : ''}`;
}
