import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createDatabase } from '#shared/db/client.ts';
import { migrate } from '#shared/db/migrate.ts';
import { isAnythingSealed } from '#shared/directory/credentials.ts';
import { createTestDatabase, type TestDatabase } from '../harness/database.ts';
import { startKubeApiserver, type KubeApiserver } from '../harness/kube-apiserver.ts';
import { lacksKube } from '../harness/kube-assets.ts';
import { Cluster, exampleDomain, mailbox, mailServer, startTestOperator } from './operator-under-test.ts';

const soon = { timeout: 20_000, interval: 50 };

describe.skipIf(lacksKube())('the Secret with the keyring', () => {
  const stack = new AsyncDisposableStack();
  let kube: KubeApiserver;
  let cluster: Cluster;

  beforeAll(async () => {
    kube = stack.use(await startKubeApiserver({ crds: ['crds'] }));
    cluster = new Cluster(kube.client());
    await cluster.apply(`${mailServer}---${exampleDomain}---${mailbox('someone')}`);
  }, 180_000);
  afterAll(() => stack.disposeAsync());

  const start = ({ url }: TestDatabase, name: string) =>
    startTestOperator({ access: kube.access, databaseUrl: url, env: { LEASE_NAME: name, KEYRING_SECRET: name } });
  const keyring = async (name: string): Promise<string | null> => (await cluster.secret(name))?.['keyring'] ?? null;

  test('is made before the migrations of an empty database, and is the one used after them', async () => {
    await using database = await createTestDatabase({ empty: true });
    const operator = await start(database, 'early');
    try {
      await expect.poll(() => keyring('early'), soon).not.toBeNull();
      const made = await keyring('early');
      await using client = createDatabase({ url: database.url });
      await migrate(client);
      await expect.poll(() => cluster.says('Mailbox', 'someone', 'Ready'), soon).toBe('True Ready');
      expect(await keyring('early')).toBe(made);
    } finally {
      await operator.stop();
    }
  });

  test('is not made for a database that another one sealed something in', async () => {
    await using database = await createTestDatabase();
    await using client = createDatabase({ url: database.url });
    const first = await start(database, 'lost');
    await expect.poll(() => isAnythingSealed(client.db), soon).toBe(true);
    await first.stop();
    await cluster.delete('Secret', 'lost');
    const second = await start(database, 'lost');
    try {
      await expect.poll(() => cluster.says('MailServer', 'default', 'Synced'), soon).toBe('False KeyringUnusable');
      expect(await keyring('lost')).toBeNull();
    } finally {
      await second.stop();
    }
  });
});
