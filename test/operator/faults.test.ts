import { setImmediate as nextTurn } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { mailboxes } from '#operator/api/mailbox.ts';
import type { RunningOperator } from '#operator/compose.ts';
import { createTestDatabase, type TestDatabase } from '../harness/database.ts';
import { crdType, startKubeApiserver, type KubeApiserver } from '../harness/kube-apiserver.ts';
import { lacksKube } from '../harness/kube-assets.ts';
import { startProxy, type Proxy } from '../harness/proxy.ts';
import { startFaultProxy, type FaultProxy, type Seen, type WatchFault } from '../kube/fault-proxy.ts';
import { Cluster, exampleDomain, mailbox, mailServer, startTestOperator } from './operator-under-test.ts';

const soon = { timeout: 20_000, interval: 50 };

describe.skipIf(lacksKube())('an operator when something is away', () => {
  const stack = new AsyncDisposableStack();
  let kube: KubeApiserver;
  let api: FaultProxy;
  let database: TestDatabase;
  let postgres: Proxy;
  let cluster: Cluster;
  let operator: RunningOperator;

  beforeAll(async () => {
    database = stack.use(await createTestDatabase());
    postgres = stack.use(await startProxy(database.url));
    kube = stack.use(await startKubeApiserver({ crds: ['crds'] }));
    api = stack.use(await startFaultProxy(kube.access));
    cluster = new Cluster(kube.client());
    operator = await start();
    await cluster.apply(`${mailServer}---${exampleDomain}`);
  }, 180_000);
  afterAll(async () => {
    await operator?.stop();
    await stack.disposeAsync();
  });
  beforeEach(() => {
    postgres.refuse(false);
    api.rule(null);
  });

  const start = () =>
    startTestOperator({
      access: api.access,
      databaseUrl: postgres.through(database.url),
      env: { LEASE_NAME: 'faults' },
      ...(process.env['SHOW_LOG'] && { log: (line: string) => void process.stdout.write(line) }),
    });
  /** As the kubelet does. */
  const keepRunning = async (): Promise<void> => {
    const ended = operator.ended.then(
      () => true,
      () => true,
    );
    const hasEnded = await Promise.race([ended, nextTurn(false)]);
    if (!hasEnded) return;
    await operator.stop();
    operator = await start();
  };
  const isReady = async (name: string, kind = 'Mailbox', namespace = 'default'): Promise<void> => {
    await expect.poll(() => cluster.says(kind, name, 'Ready', namespace), soon).toBe('True Ready');
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
  const takeDatabaseAway = (): void => {
    postgres.refuse(true);
    postgres.cut();
  };

  test('the database is away at the create: Unknown DatabaseUnavailable, and Ready once it is back', async () => {
    await cluster.apply(mailbox('before'));
    await isReady('before');
    takeDatabaseAway();
    await cluster.apply(mailbox('during'));
    await expect.poll(() => cluster.says('Mailbox', 'during', 'Ready'), soon).toBe('Unknown DatabaseUnavailable');
    await expect.poll(() => cluster.says('MailServer', 'default', 'Synced'), soon).toBe('Unknown DatabaseUnavailable');
    // What was in the database keeps its last state.
    expect(await cluster.says('Mailbox', 'before', 'Ready')).toBe('True Ready');
    postgres.refuse(false);
    await isReady('during');
    await expect.poll(() => cluster.says('MailServer', 'default', 'Synced'), soon).toBe('True Synced');
  });

  test('the database is away at an update: the status says so and which generation was the last', async () => {
    takeDatabaseAway();
    await cluster.apply(mailbox('before', 'quota: 2Gi'));
    await expect.poll(() => cluster.says('Mailbox', 'before', 'Synced'), soon).toBe('Unknown DatabaseUnavailable');
    expect((await cluster.get('Mailbox', 'before')).status?.observedGeneration).toBe(1);
    postgres.refuse(false);
    await isReady('before');
    expect(await query(`select quota_bytes::text from account where local_part = 'before'`)).toEqual([
      { quota_bytes: String(2 * 1024 ** 3) },
    ]);
  });

  test('the database is away at a delete: with Retain the resource goes at once, its row goes out of use later', async () => {
    takeDatabaseAway();
    await cluster.delete('Mailbox', 'during');
    expect(await cluster.exists('Mailbox', 'during')).toBe(false);
    postgres.refuse(false);
    const look = () => query(`select retained_at is not null as is_retained from account where local_part = 'during'`);
    await expect.poll(look, soon).toEqual([{ is_retained: true }]);
  });

  test('the database is away at a delete: with Delete the finalizer waits for it, and says so', async () => {
    await cluster.apply(mailbox('doomed', 'deletionPolicy: Delete, deletionGracePeriod: 0s'));
    await isReady('doomed');
    takeDatabaseAway();
    await cluster.delete('Mailbox', 'doomed');
    await expect.poll(() => cluster.says('Mailbox', 'doomed', 'Deleting'), soon).toBe('True DatabaseUnavailable');
    postgres.refuse(false);
    await expect.poll(() => cluster.exists('Mailbox', 'doomed'), soon).toBe(false);
    await expect.poll(() => query(`select from account where local_part = 'doomed'`), soon).toEqual([]);
  });

  test('a namespace that goes while the database is away is held up by nothing', async () => {
    await cluster.apply(mailbox('guest', '', 'team-c'));
    await isReady('guest', 'Mailbox', 'team-c');
    takeDatabaseAway();
    // What the namespace controller does with each object of a namespace that is being deleted.
    await cluster.delete('Mailbox', 'guest', 'team-c');
    await cluster.delete('Secret', 'guest-mailbox', 'team-c');
    expect(await cluster.exists('Mailbox', 'guest', 'team-c')).toBe(false);
    postgres.refuse(false);
    const look = () => query(`select retained_at is not null as is_retained from account where local_part = 'guest'`);
    await expect.poll(look, soon).toEqual([{ is_retained: true }]);
  });

  test.each<WatchFault>(['cut', 'half', 'expired', 'failed', 'garbage', 'ended'])(
    'watches that are %s lose nothing',
    async (fault) => {
      api.hurtWatches(fault);
      await cluster.apply(mailbox(`watched-${fault}`));
      await isReady(`watched-${fault}`);
    },
  );

  test('an API server that says 429, fails or cuts writes is asked again', async () => {
    let left = 30;
    api.rule(({ method, isWatch, path }) => {
      if (isWatch || method === 'GET' || path.includes('leases') || left <= 0) return null;
      left -= 1;
      if (left % 3 === 0) return { kind: 'answer', status: 429, retryAfter: 1 };
      return left % 3 === 1 ? { kind: 'cutAfter' } : { kind: 'answer', status: 503 };
    });
    await cluster.apply([1, 2, 3, 4].map((n) => mailbox(`stubborn-${n}`)).join('---'));
    for (const n of [1, 2, 3, 4]) {
      await expect
        .poll(() => cluster.says('Mailbox', `stubborn-${n}`, 'Ready'), { ...soon, timeout: 60_000 })
        .toBe('True Ready');
    }
    // A create whose answer was lost was not a second password.
    const secrets = await Promise.all([1, 2, 3, 4].map((n) => cluster.secret(`stubborn-${n}-mailbox`)));
    expect(secrets.map((secret) => secret?.['username'])).toEqual(
      [1, 2, 3, 4].map((n) => `stubborn-${n}@example.test`),
    );
  }, 90_000);

  test('an API server that says 429 to lists and watches is asked again, and nothing is missed', async () => {
    let left = 12;
    api.rule(({ method, path }) => {
      if (method !== 'GET' || path.includes('leases') || left <= 0) return null;
      left -= 1;
      return { kind: 'answer', status: 429, retryAfter: 1 };
    });
    api.hurtWatches('expired');
    await cluster.apply(mailbox('patient'));
    await cluster.delete('Mailbox', 'stubborn-4');
    await isReady('patient');
    expect(left).toBe(0);
    const look = () =>
      query(`select retained_at is not null as is_retained from account where local_part = 'stubborn-4'`);
    await expect.poll(look, soon).toEqual([{ is_retained: true }]);
  }, 90_000);

  test('an API server that is restarted is followed again', async () => {
    await kube.kill();
    await kube.start();
    await cluster.apply(mailbox('restarted'));
    // On a busy machine that may take longer than the lease bears: the operator ends then, and begins anew.
    await expect
      .poll(async () => {
        await keepRunning();
        return cluster.says('Mailbox', 'restarted', 'Ready');
      }, soon)
      .toBe('True Ready');
  }, 90_000);

  test('a CRD that is missing holds up its own kind alone, and is noticed when it comes', async () => {
    await cluster.client.delete(crdType, { name: 'mailroutes.postrider.dev' });
    await cluster.apply(mailbox('without-routes'));
    await isReady('without-routes');
    await kube.applyCrds('crds/mailroutes.yaml');
    await cluster.apply(`
apiVersion: postrider.dev/v1alpha1
kind: MailRoute
metadata: {name: back}
spec: {targets: [{type: Direct}]}
`);
    await expect
      .poll(() => cluster.says('MailRoute', 'back', 'Ready'), { ...soon, timeout: 60_000 })
      .toBe('True Ready');
  }, 90_000);

  test('an operator that starts again over what is as it should be writes nothing, here or there', async () => {
    // Whatever is still under way is done first.
    await isReady('without-routes');
    const { items } = await cluster.client.list(mailboxes);
    const counted = async () => (await cluster.get('MailServer', 'default')).status?.['mailboxes'];
    await expect.poll(counted, soon).toBe(items.length);
    await operator.stop();
    const rows = () =>
      query(`select 'account' as what, id::text, xmin::text from account union all
        select 'domain', id::text, xmin::text from domain union all
        select 'credential', account_id::text, xmin::text from credential order by 1, 2`);
    const before = await rows();
    const from = api.seen.length;
    operator = await start();
    await expect.poll(() => passes(operator), soon).toBeGreaterThan(0);
    const settled = performance.now() + 1_500;
    await expect.poll(() => performance.now() > settled, soon).toBe(true);
    expect(await rows()).toEqual(before);
    expect(api.seen.slice(from).filter(isWrite)).toEqual([]);
  });
});

/** Beyond the lease, which every leader writes. */
function isWrite({ method, path }: Seen): boolean {
  return method !== 'GET' && !path.includes('/leases');
}

async function passes({ port }: RunningOperator): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const lines = text.matchAll(/^postrider_operator_directory_passes_total\{[^}]*\} (\d+)$/gm);
  return [...lines].reduce((sum, [, count]) => sum + Number(count), 0);
}
