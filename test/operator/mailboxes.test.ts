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
  const isReady = (kind: string, name: string, namespace = 'default') =>
    expect.poll(() => cluster.says(kind, name, 'Ready', namespace), ready).toBe('True Ready');

  test('applied: it is Ready, its generated password is in a Secret, and logs in', async () => {
    await cluster.apply(mailbox('alice'));
    await isReady('Mailbox', 'alice');
    expect(await cluster.secret('alice-mailbox')).toMatchObject({ username: 'alice@example.test' });
    expect(await server.logsIn('alice@example.test', await passwordOf('alice-mailbox'))).toBe(true);
    expect(await server.logsIn('alice@example.test', 'wrong')).toBe(false);
    expect(operator.isLeader).toBe(true);
  });
});
