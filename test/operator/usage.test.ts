import { sql } from 'kysely';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createDatabase } from '#shared/db/client.ts';
import { readQueueFacts } from '#operator/server/queue-facts.ts';
import type { RunningOperator } from '#operator/compose.ts';
import { createTestDatabase, type TestDatabase } from '../harness/database.ts';
import { startKubeApiserver } from '../harness/kube-apiserver.ts';
import { lacksKube } from '../harness/kube-assets.ts';
import { startFaultProxy, type FaultProxy } from '../kube/fault-proxy.ts';
import { Cluster, exampleDomain, mailbox, mailServer, startTestOperator } from './operator-under-test.ts';

const soon = { timeout: 30_000, interval: 50 };

describe.skipIf(lacksKube())('how full a mailbox is', () => {
  const stack = new AsyncDisposableStack();
  let api: FaultProxy;
  let database: TestDatabase;
  let cluster: Cluster;
  let operator: RunningOperator;

  beforeAll(async () => {
    database = stack.use(await createTestDatabase());
    const kube = stack.use(await startKubeApiserver({ crds: ['crds'] }));
    api = stack.use(await startFaultProxy(kube.access));
    cluster = new Cluster(kube.client());
    operator = await start();
    await cluster.apply([mailServer, exampleDomain, mailbox('alice', 'quota: 1Mi'), mailbox('empty')].join('---'));
    for (const name of ['alice', 'empty']) await cluster.becomes('Mailbox', name);
  }, 180_000);
  afterAll(async () => {
    await operator?.stop();
    await stack.disposeAsync();
  });

  const start = () =>
    startTestOperator({ access: api.access, databaseUrl: database.url, env: { USAGE_INTERVAL: '1s' } });
  /** As servers do when mail comes and goes. */
  const fill = async (bytes: number, messages: number): Promise<void> => {
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    try {
      await client.query(
        `update account_state set used_bytes = $1, messages = $2
          where account_id = (select id from account where local_part = 'alice')`,
        [bytes, messages],
      );
    } finally {
      await client.end();
    }
  };
  const statusOf = async (name: string) => (await cluster.get('Mailbox', name)).status;
  const says = () => cluster.says('Mailbox', 'alice', 'WithinQuota');

  test('is in its status, roughly; a full one says so and stays Ready', async () => {
    await fill(700_000, 12);
    await expect.poll(() => statusOf('alice'), soon).toMatchObject({ usage: { bytes: '680Ki', messages: 12 } });
    expect(await says()).toBe('nothing');
    await fill(1_048_576, 20);
    await expect.poll(says, soon).toBe('False OverQuota');
    expect(await statusOf('alice')).toMatchObject({ usage: { bytes: '1Mi', messages: 20 } });
    expect(await cluster.says('Mailbox', 'alice', 'Ready')).toBe('True Ready');
    await fill(1_000, 1);
    await expect.poll(says, soon).toBe('True WithinQuota');
    expect(await statusOf('empty')).not.toHaveProperty('usage');
  });

  test('the MailServer says how long the queue is', async () => {
    const look = async () => (await cluster.get('MailServer', 'default')).status;
    await expect.poll(look, soon).toMatchObject({ queue: { waiting: 0, held: 0 } });
    await using connection = createDatabase({ url: database.url });
    const taken = new Date('2026-01-01T00:00:00Z');
    await sql`with destination as (
        insert into outbound_destination (route, domain, bearable, max_lanes) values ('direct', 'far.test', 1, 1)
          returning id),
      message as (
        insert into outbound_message (blob_hash, prefix, size, origin, domain, sender, body, smtputf8, requiretls,
            deliver_by_trace, priority, trace_id, accepted_at, expires_at)
          values ('\\x00', '', 1, 'submission', 'example.test', '', '7bit', false, false, false, 0, 't', ${taken}, now())
          returning id)
      insert into outbound_recipient (message_id, destination_id, class, state, due_at, address, domain)
        select message.id, destination.id, 1, state, now(), 'x@far.test', 'far.test'
          from message, destination, unnest(array['queued', 'queued', 'held', 'dead', 'captured']) state`.execute(
      connection.db,
    );
    expect(await readQueueFacts(connection.db)).toEqual({ waiting: 2, held: 2, oldest: taken });
  });

  test('writes nothing while it is about the same, also after a restart', async () => {
    await operator.stop();
    const from = api.seen.length;
    operator = await start();
    await fill(1_200, 2);
    const rounds = async (): Promise<number> => {
      const text = await (await fetch(`http://127.0.0.1:${operator.port}/metrics`)).text();
      return Number(
        /^controller_runtime_reconcile_total\{controller="mailbox-usage"[^}]*\} (\d+)$/m.exec(text)?.[1] ?? 0,
      );
    };
    await expect.poll(rounds, soon).toBeGreaterThan(2);
    const writes = api.seen.slice(from).filter(({ method, path }) => method !== 'GET' && path.includes('/mailboxes/'));
    expect(writes).toEqual([]);
  });
});
