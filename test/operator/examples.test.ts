import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createTestDatabase } from '../harness/database.ts';
import { startKubeApiserver } from '../harness/kube-apiserver.ts';
import { lacksKube } from '../harness/kube-assets.ts';
import { Cluster, mailServer, startTestOperator } from './operator-under-test.ts';

describe.skipIf(lacksKube())('examples/, in a cluster', () => {
  const stack = new AsyncDisposableStack();
  let cluster: Cluster;
  const soon = { timeout: 20_000, interval: 100 };

  beforeAll(async () => {
    const database = stack.use(await createTestDatabase());
    const kube = stack.use(await startKubeApiserver({ crds: ['crds'] }));
    cluster = new Cluster(kube.client());
    stack.use(await startTestOperator({ access: kube.access, databaseUrl: database.url }));
    await cluster.apply(mailServer);
    for (const file of (await readdir('examples')).toSorted()) {
      await cluster.apply(await readFile(path.join('examples', file), 'utf8'));
    }
  }, 180_000);
  afterAll(() => stack.disposeAsync());

  test.each([
    ['MailDomain', 'example-test'],
    ['MailPolicy', 'usual'],
    ['Mailbox', 'alice'],
    ['Mailbox', 'bob'],
    ['MailAlias', 'team'],
    ['MailRoute', 'nobody'],
    ['MailCredential', 'shop'],
  ])('%s %s is Ready', async (kind, name) => {
    await expect.poll(() => cluster.says(kind, name, 'Ready'), soon).toBe('True Ready');
  });

  test('resources tell how many others name them', async () => {
    const statusOf = async (kind: string, name: string) => (await cluster.get(kind, name)).status;
    await expect.poll(() => statusOf('MailDomain', 'example-test'), soon).toMatchObject({ mailboxes: 2, aliases: 1 });
    await expect.poll(() => statusOf('MailPolicy', 'usual'), soon).toMatchObject({ attachedDomains: 1 });
    await expect.poll(() => statusOf('MailAlias', 'team'), soon).toMatchObject({ resolvedMembers: 2 });
  });
});
