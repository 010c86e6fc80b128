import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createTestDatabase } from '../harness/database.ts';
import { startKubeApiserver } from '../harness/kube-apiserver.ts';
import { lacksKube } from '../harness/kube-assets.ts';
import { startMailSink, type MailSink } from '../harness/mail-sink.ts';
import { freePorts } from '../harness/ports.ts';
import { startMailServer } from './mail-server.ts';
import { Cluster, mailServer, startTestOperator } from './operator-under-test.ts';

describe.skipIf(lacksKube())('routes that are declared', () => {
  const stack = new AsyncDisposableStack();
  let cluster: Cluster;
  let sink: MailSink;
  const soon = { timeout: 30_000, interval: 100 };

  beforeAll(async () => {
    const database = stack.use(await createTestDatabase());
    const kube = stack.use(await startKubeApiserver({ crds: ['crds'] }));
    sink = stack.use(await startMailSink());
    cluster = new Cluster(kube.client());
    stack.use(await startTestOperator({ access: kube.access, databaseUrl: database.url }));
    await cluster.apply(mailServer);
    stack.use(await startMailServer({ databaseUrl: database.url, keyring: await cluster.keyring() }));
  }, 180_000);
  afterAll(() => stack.disposeAsync());

  const route = (name: string, port: number) => `
apiVersion: postrider.dev/v1alpha1
kind: MailRoute
metadata: {name: ${name}}
spec: {targets: [{type: Smarthost, host: 127.0.0.1, port: ${port}, tls: {mode: Disabled}}]}
`;

  test('a relay that answers, and one that does not; neither is sent anything', async () => {
    const [closed = 0] = await freePorts(1);
    await cluster.apply(`${route('good', sink.port)}---${route('bad', closed)}`);
    await expect.poll(() => cluster.says('MailRoute', 'good', 'Reachable'), soon).toBe('True Reachable');
    await expect.poll(() => cluster.says('MailRoute', 'bad', 'Reachable'), soon).toBe('False ConnectFailed');
    // It informs: a relay that is away for a while makes no route unready.
    await expect.poll(() => cluster.says('MailRoute', 'bad', 'Ready'), soon).toBe('True Ready');
    expect((await cluster.get('MailRoute', 'good')).status).toMatchObject({
      targets: [
        { target: `Smarthost 127.0.0.1:${sink.port}`, state: 'Reachable', probedAt: expect.any(String) as string },
      ],
    });
    expect(sink.messages).toEqual([]);
  });

  test('a changed route is tried again at once', async () => {
    await cluster.apply(route('bad', sink.port));
    await expect.poll(() => cluster.says('MailRoute', 'bad', 'Reachable'), soon).toBe('True Reachable');
  });
});
