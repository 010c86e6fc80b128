import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createDatabase } from '#shared/db/client.ts';
import { takeEpoch } from '#shared/reconcile/leader-epoch.ts';
import { createTestDatabase, type TestDatabase } from '../harness/database.ts';
import { startKubeApiserver, type KubeApiserver } from '../harness/kube-apiserver.ts';
import { lacksKube } from '../harness/kube-assets.ts';
import { startProxy } from '../harness/proxy.ts';
import { startMailServer } from './mail-server.ts';
import { Cluster, exampleDomain, mailbox, mailServer, startTestOperator } from './operator-under-test.ts';
import { startOperatorProcess, type OperatorProcess } from './operator-process.ts';

/** The bench says how long a hand-over takes; here a busy machine is no fault. */
const soon = { timeout: 60_000, interval: 50 };

describe.skipIf(lacksKube())('operators, of which one leads', () => {
  const stack = new AsyncDisposableStack();
  let kube: KubeApiserver;
  let database: TestDatabase;
  let cluster: Cluster;

  beforeAll(async () => {
    database = stack.use(await createTestDatabase());
    kube = stack.use(await startKubeApiserver({ crds: ['crds'] }));
    cluster = new Cluster(kube.client());
    await cluster.apply(`${mailServer}---${exampleDomain}`);
  }, 180_000);
  afterAll(() => stack.disposeAsync());

  const start = (identity: string, databaseUrl = database.url): Promise<OperatorProcess> =>
    startOperatorProcess({ kubeconfig: kube.kubeconfig, databaseUrl, identity });
  const leads = async (operator: OperatorProcess): Promise<void> => {
    await expect.poll(() => operator.isLeading(), soon).toBe(true);
  };
  const isReady = async (name: string): Promise<void> => {
    await expect.poll(() => cluster.says('Mailbox', name, 'Ready'), soon).toBe('True Ready');
  };
  const query = async (sql: string): Promise<readonly object[]> => {
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    try {
      return (await client.query<object>(sql)).rows;
    } finally {
      await client.end();
    }
  };

  test('a leader that stops hands over within seconds', async () => {
    await using first = await start('first');
    await leads(first);
    await using second = await start('second');
    await expect.poll(() => second.log(), soon).toContain('kube.lease.wait');
    first.process.kill('SIGTERM');
    expect(await first.ended).toBe(0);
    const stoppedAt = performance.now();
    await leads(second);
    // It did not have to wait until the lease ran out.
    expect(performance.now() - stoppedAt).toBeLessThan(14_000);
    second.process.kill('SIGTERM');
    expect(await second.ended).toBe(0);
  }, 180_000);

  test('a leader that is killed in the middle of a transaction leaves nothing half done; another goes on', async () => {
    await using proxy = await startProxy(database.url);
    await using first = await start('first', proxy.through(database.url));
    await leads(first);
    await isReadyDomain();
    await using second = await start('second');
    // The account's row is written, and not committed: from here on the leader hears nothing.
    const lost = Promise.withResolvers<void>();
    proxy.inspect((from, chunk) => {
      if (from !== 'client' || !/\bcommit\b/i.test(chunk.toString('latin1'))) return 'pass';
      lost.resolve();
      return 'drop';
    });
    await cluster.apply(mailbox('alice'));
    await lost.promise;
    first.process.kill('SIGKILL');
    await first.ended;
    await leads(second);
    await isReady('alice');
    const password = (await cluster.secret('alice-mailbox'))?.['password'] ?? '';
    await using server = await startMailServer({ databaseUrl: database.url, keyring: await cluster.keyring() });
    expect(await server.logsIn('alice@example.test', password)).toBe(true);
    expect(await query(`select count(*)::int as count from account where local_part = 'alice'`)).toEqual([
      { count: 1 },
    ]);
    second.process.kill('SIGTERM');
    await second.ended;
  }, 240_000);

  test('a leader that was paused writes nothing when it goes on, and ends', async () => {
    await using first = await start('first');
    await leads(first);
    await using second = await start('second');
    await expect.poll(() => second.log(), soon).toContain('kube.lease.wait');
    first.process.kill('SIGSTOP');
    await leads(second);
    await cluster.apply(mailbox('bob'));
    await isReady('bob');
    first.process.kill('SIGCONT');
    expect(await first.ended).toBe(1);
    await isReady('bob');
    second.process.kill('SIGTERM');
    await second.ended;
  }, 240_000);

  test('a leader whose lease holds, but whom the database knows no more, writes nothing and ends', async () => {
    await using operator = await startTestOperator({ access: kube.access, databaseUrl: database.url });
    await expect.poll(() => operator.isLeader, soon).toBe(true);
    await cluster.apply(mailbox('carol'));
    await isReady('carol');
    await using other = createDatabase({ url: database.url });
    await takeEpoch(other.db, 'another');
    await cluster.apply(mailbox('dave'));
    await expect(operator.ended).rejects.toThrow('newer leader');
    expect(await query(`select from account where local_part = 'dave'`)).toEqual([]);
  }, 180_000);

  async function isReadyDomain(): Promise<void> {
    await expect.poll(() => cluster.says('MailDomain', 'example', 'Synced'), soon).toBe('True Synced');
  }
});
