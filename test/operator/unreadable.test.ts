/** Objects that the API server has taken and this operator does not understand: of another release's CRDs. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseDocument } from 'yaml';
import { mailboxes } from '#operator/api/mailbox.ts';
import { createTestDatabase, type TestDatabase } from '../harness/database.ts';
import { startKubeApiserver, type KubeApiserver } from '../harness/kube-apiserver.ts';
import { lacksKube } from '../harness/kube-assets.ts';
import { Cluster, exampleDomain, mailbox, mailServer, startTestOperator } from './operator-under-test.ts';

const soon = { timeout: 30_000, interval: 50 };

describe.skipIf(lacksKube())('a resource that is not understood', () => {
  const stack = new AsyncDisposableStack();
  let kube: KubeApiserver;
  let database: TestDatabase;
  let cluster: Cluster;

  beforeAll(async () => {
    database = stack.use(await createTestDatabase());
    kube = stack.use(await startKubeApiserver({ crds: ['crds'] }));
    cluster = new Cluster(kube.client());
    stack.use(await startTestOperator({ access: kube.access, databaseUrl: database.url }));
    await cluster.apply([mailServer, exampleDomain].join('---'));
  }, 180_000);
  afterAll(() => stack.disposeAsync());

  const query = async (sql: string): Promise<readonly object[]> => {
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    try {
      return (await client.query<object>(sql)).rows;
    } finally {
      await client.end();
    }
  };
  const accounts = () =>
    query(`select local_part as name, retained_at is not null as is_retained from account order by 1`);

  /** A later release's Mailbox may have values that ours does not know. */
  const takeAnything = async (): Promise<void> => {
    const document = parseDocument(await readFile('crds/mailboxes.yaml', 'utf8'));
    const spec = ['spec', 'versions', 0, 'schema', 'openAPIV3Schema', 'properties', 'spec'];
    document.addIn([...spec, 'properties', 'state', 'enum'], 'Frozen');
    const folder = await mkdtemp(path.join(os.tmpdir(), 'postrider-later-crds-'));
    stack.defer(() => rm(folder, { recursive: true, force: true }));
    const file = path.join(folder, 'mailboxes.yaml');
    await writeFile(file, document.toString());
    await kube.applyCrds(file);
  };
  const makeUnreadable = async (name: string): Promise<void> => {
    const at = { namespace: 'default', name };
    const freeze = () =>
      cluster.client.patchMerge(mailboxes, at, { spec: { state: 'Frozen' } }).then(
        ({ spec }) => spec.state as string,
        () => 'refused',
      );
    // The API server takes a CRD up a moment after it was applied.
    await expect.poll(freeze, soon).toBe('Frozen');
    await expect.poll(() => cluster.says('Mailbox', name, 'Accepted'), soon).toBe('False InvalidSpec');
  };

  test('keeps its row; deleted, it is let go of, and its row goes as the row says', async () => {
    await cluster.apply(mailbox('kept'));
    await cluster.apply(mailbox('doomed', 'deletionPolicy: Delete, deletionGracePeriod: 0s'));
    for (const name of ['kept', 'doomed']) {
      await expect.poll(() => cluster.says('Mailbox', name, 'Ready'), soon).toBe('True Ready');
    }
    await takeAnything();
    for (const name of ['kept', 'doomed']) await makeUnreadable(name);
    expect(await accounts()).toEqual([
      { name: 'doomed', is_retained: false },
      { name: 'kept', is_retained: false },
    ]);
    for (const name of ['kept', 'doomed']) await cluster.delete('Mailbox', name);
    await expect.poll(() => cluster.exists('Mailbox', 'doomed'), soon).toBe(false);
    await expect.poll(accounts, soon).toEqual([{ name: 'kept', is_retained: true }]);
  }, 90_000);

  test('one that never had a row is let go of, though it has a finalizer', async () => {
    await cluster.apply(
      mailbox('never', 'deletionPolicy: Delete, state: Frozen').replace(
        'name: never,',
        'name: never, finalizers: [postrider.dev/directory],',
      ),
    );
    await expect.poll(() => cluster.says('Mailbox', 'never', 'Accepted'), soon).toBe('False InvalidSpec');
    await cluster.delete('Mailbox', 'never');
    await expect.poll(() => cluster.exists('Mailbox', 'never'), soon).toBe(false);
  });
});
