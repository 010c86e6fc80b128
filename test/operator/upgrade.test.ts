/** An operator that finds what another release left: older CRDs and statuses, an older or a newer schema. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseDocument } from 'yaml';
import { createDatabase } from '#shared/db/client.ts';
import { migrate } from '#shared/db/migrate.ts';
import { mailboxes, type Mailbox as MailboxObject } from '#operator/api/mailbox.ts';
import type { RunningOperator } from '#operator/compose.ts';
import { createTestDatabase, type TestDatabase } from '../harness/database.ts';
import { startKubeApiserver, type KubeApiserver } from '../harness/kube-apiserver.ts';
import { lacksKube } from '../harness/kube-assets.ts';
import { startFaultProxy, type FaultProxy } from '../kube/fault-proxy.ts';
import { Cluster, exampleDomain, mailbox, mailServer, startTestOperator } from './operator-under-test.ts';

const soon = { timeout: 30_000, interval: 50 };
/** Fields of statuses that the older release does not have. */
const newer: Readonly<Record<string, readonly string[]>> = {
  'mailboxes.yaml': ['credentialsVersion', 'domainRef'],
  'maildomains.yaml': ['aliases'],
  'mailservers.yaml': ['database', 'instances', 'queue'],
};
const others = `
apiVersion: postrider.dev/v1alpha1
kind: MailAlias
metadata: {name: team}
spec: {address: team@example.test, members: [alice@example.test]}
---
apiVersion: postrider.dev/v1alpha1
kind: MailCredential
metadata: {name: shop}
spec: {allowedSenders: [orders@example.test]}
---
apiVersion: postrider.dev/v1alpha1
kind: MailRoute
metadata: {name: out}
spec: {targets: [{type: Direct}]}
`;
const names = ['alice', 'bob', 'carol'];

describe.skipIf(lacksKube())('an operator after an upgrade', () => {
  const stack = new AsyncDisposableStack();
  let kube: KubeApiserver;
  let api: FaultProxy;
  let database: TestDatabase;
  let cluster: Cluster;
  let operator: RunningOperator;

  beforeAll(async () => {
    database = stack.use(await createTestDatabase());
    kube = stack.use(await startKubeApiserver({ crds: [await olderCrds(stack)] }));
    api = stack.use(await startFaultProxy(kube.access));
    cluster = new Cluster(kube.client());
    await cluster.apply([mailServer, exampleDomain, others, ...names.map((name) => mailbox(name))].join('---'));
    operator = await start();
    await allReady();
  }, 180_000);
  afterAll(async () => {
    await operator?.stop();
    await stack.disposeAsync();
  });

  const start = () =>
    startTestOperator({
      access: api.access,
      databaseUrl: database.url,
      ...(process.env['SHOW_LOG'] && { log: (line: string) => void process.stdout.write(line) }),
    });
  const query = async (sql: string): Promise<readonly object[]> => {
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    try {
      return (await client.query<object>(sql)).rows;
    } finally {
      await client.end();
    }
  };
  const rows = () =>
    query(`select 'account' as what, id::text, xmin::text from account union all
      select 'alias', id::text, xmin::text from alias union all
      select 'domain', id::text, xmin::text from domain union all
      select 'credential', account_id::text, xmin::text from credential union all
      select 'login', id::text, xmin::text from mail_credential union all
      select 'password', id::text, xmin::text from mail_credential_password union all
      select 'route', id::text, xmin::text from mail_route order by 1, 2`);
  const allReady = async (): Promise<void> => {
    for (const name of names) await cluster.becomes('Mailbox', name);
    await cluster.becomes('MailAlias', 'team');
    await cluster.becomes('MailCredential', 'shop');
    await cluster.becomes('MailRoute', 'out');
    await cluster.becomes('MailServer', 'default', 'default', 'Synced');
  };
  /** Writes since `from`, but for the lease. */
  const writes = (from: number): readonly string[] =>
    api.seen
      .slice(from)
      .filter(({ method, path: at }) => method !== 'GET' && !at.includes('/leases'))
      .map(({ method, path: at }) => `${method} ${at.replace(/\?.*$/, '')}`);
  /** As the next release finds it, before its migrations have run. */
  const olderSchema = (): Promise<unknown> =>
    query(`alter table domain_claim drop column missing_since; delete from schema_state where number = 22`);

  /** The API server takes a CRD up a moment after it was applied. */
  const keepsNewerFields = async (): Promise<void> => {
    await cluster.apply(mailbox('probe').replace('example.test', 'nowhere.test'));
    const domainRef = { namespace: 'default', name: 'example' };
    const write = () =>
      cluster.client.patchMerge<MailboxObject>(
        mailboxes,
        { namespace: 'default', name: 'probe' },
        { status: { domainRef } },
        { subresource: 'status' },
      );
    await expect.poll(async () => (await write()).status?.domainRef, soon).toEqual(domainRef);
    await cluster.delete('Mailbox', 'probe');
  };

  test('waits for its migrations, touches nothing meanwhile, then completes what statuses lack and writes no row', async () => {
    const status = (await cluster.get('Mailbox', 'alice')).status;
    expect(status).not.toHaveProperty('domainRef');
    await operator.stop();
    await olderSchema();
    const before = await rows();
    let from = api.seen.length;
    operator = await start();
    await expect.poll(() => cluster.says('MailServer', 'default', 'Synced'), soon).toBe('False DatabaseSchemaTooOld');
    expect(await rows()).toEqual(before);
    expect(writes(from).filter((write) => !write.includes('/mailservers/') && !write.includes('/events'))).toEqual([]);
    await kube.applyCrds('crds');
    await keepsNewerFields();
    await using connection = createDatabase({ url: database.url });
    expect(await migrate(connection)).toEqual([22]);
    await allReady();
    const look = async () => (await cluster.get('Mailbox', 'alice')).status;
    await expect.poll(look, soon).toMatchObject({ domainRef: { namespace: 'default', name: 'example' } });
    expect(await rows()).toEqual(before);
    // Each status was completed, once; nothing else was written.
    for (const name of names) {
      await expect.poll(async () => (await cluster.get('Mailbox', name)).status, soon).toHaveProperty('domainRef');
    }
    const written = writes(from).filter((write) => /\/mailboxes\/(alice|bob|carol)/.test(write));
    expect(written.toSorted()).toEqual(
      names.map((name) => `PATCH /apis/postrider.dev/v1alpha1/namespaces/default/mailboxes/${name}/status`),
    );
    await operator.stop();
    from = api.seen.length;
    operator = await start();
    await expect.poll(() => passes(operator), soon).toBeGreaterThan(0);
    await cluster.apply(mailbox('dave'));
    await cluster.becomes('Mailbox', 'dave');
    expect(writes(from).filter((write) => /mailboxes\/(alice|bob|carol)/.test(write))).toEqual([]);
    await cluster.delete('Mailbox', 'dave');
  }, 180_000);

  test('a schema that is newer and bears with it is worked with; nothing is written that is as it should be', async () => {
    await operator.stop();
    await query(`insert into schema_state (number, name, checksum, oldest_server) values (9999, 'next', 'x', 0)`);
    await query(`alter table account add column of_the_next_release text`);
    const untouched = `select id::text, xmin::text from account where local_part <> 'dave' order by 1`;
    const before = await query(untouched);
    operator = await start();
    await cluster.apply(mailbox('erin'));
    await cluster.becomes('Mailbox', 'erin');
    await allReady();
    expect((await query(untouched)).slice(0, before.length)).toEqual(before);
  }, 90_000);

  test('a schema that needs a newer release is left alone, and said', async () => {
    await operator.stop();
    await query(`update schema_state set oldest_server = 9999 where number = 9999`);
    const before = await rows();
    operator = await start();
    await cluster.apply(mailbox('frank'));
    await expect.poll(() => cluster.says('Mailbox', 'frank', 'Synced'), soon).toBe('False DatabaseSchemaTooNew');
    expect(await rows()).toEqual(before);
    // What was Ready stays so: servers go on.
    expect(await cluster.says('Mailbox', 'alice', 'Ready')).toBe('True Ready');
    await query(`update schema_state set oldest_server = 0 where number = 9999`);
    await cluster.becomes('Mailbox', 'frank');
  }, 90_000);
});

/** The CRDs without what is newer: the API server keeps none of it, as if nobody had written it. */
async function olderCrds(stack: AsyncDisposableStack): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'postrider-older-crds-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  for (const name of await readdir('crds')) {
    const document = parseDocument(await readFile(path.join('crds', name), 'utf8'));
    const at = ['spec', 'versions', 0, 'schema', 'openAPIV3Schema', 'properties', 'status', 'properties'];
    for (const field of newer[name] ?? []) {
      if (!document.deleteIn([...at, field])) throw new Error(`${name} has no status.${field}`);
    }
    await writeFile(path.join(folder, name), document.toString());
  }
  return folder;
}

async function passes({ port }: RunningOperator): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const lines = text.matchAll(/^postrider_operator_directory_passes_total\{[^}]*\} (\d+)$/gm);
  return [...lines].reduce((sum, [, count]) => sum + Number(count), 0);
}
