/** The MailServer that the chart hands to the operator in a file, on a real API server. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { silentLogger } from '#shared/observe/logger.ts';
import { mailServers, type MailServer } from '#operator/api/mail-server.ts';
import { isInvalid } from '#operator/kube/kube-error.ts';
import { applyDeclaredMailServer } from '#operator/server/declared-mail-server.ts';
import { startKubeApiserver, type KubeApiserver } from '../harness/kube-apiserver.ts';
import { lacksKube } from '../harness/kube-assets.ts';

describe.skipIf(lacksKube())('a MailServer that is declared in a file', () => {
  let kube: KubeApiserver;
  let folder: string;
  beforeAll(async () => {
    kube = await startKubeApiserver({ crds: ['crds/mailservers.yaml'] });
    folder = await mkdtemp(path.join(os.tmpdir(), 'postrider-declared-'));
  });
  afterAll(async () => {
    await kube[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  async function declare(spec: string): Promise<void> {
    const file = path.join(folder, 'mail-server.yaml');
    const head =
      'apiVersion: postrider.dev/v1alpha1\nkind: MailServer\nmetadata: {name: default, namespace: elsewhere}\n';
    await writeFile(file, `${head}spec: ${spec}\n`);
    await applyDeclaredMailServer({ client: kube.client(), file, namespace: 'default', logger: silentLogger });
  }
  const read = (): Promise<MailServer> => kube.client().get(mailServers, { namespace: 'default', name: 'default' });

  test('is made in the namespace of the operator, and follows the file', async () => {
    await declare('{hostname: mail.example.org, domains: [example.org, example.net]}');
    expect((await read()).spec).toMatchObject({
      hostname: 'mail.example.org',
      domains: ['example.org', 'example.net'],
    });
    await declare('{hostname: mx.example.org, domains: [example.net]}');
    expect((await read()).spec).toMatchObject({ hostname: 'mx.example.org', domains: ['example.net'] });
  });

  test('the same once more changes nothing, and what others added stays', async () => {
    await declare('{hostname: mail.example.org}');
    await kube
      .client()
      .patchMerge(mailServers, { namespace: 'default', name: 'default' }, { spec: { publicAddresses: ['192.0.2.1'] } });
    const before = await read();
    await declare('{hostname: mail.example.org}');
    expect(await read()).toEqual(before);
    expect(before.spec).toMatchObject({ publicAddresses: ['192.0.2.1'] });
  });

  test('what the API server refuses is its error; a file that is no manifest says what to do', async () => {
    await expect(declare('{hostname: NOT.example.org}')).rejects.toSatisfy((error) => isInvalid(error));
    const file = path.join(folder, 'none.yaml');
    const options = { client: kube.client(), file, namespace: 'default', logger: silentLogger };
    await expect(applyDeclaredMailServer(options)).rejects.toMatchObject({ exitCode: 78 });
    await writeFile(file, 'kind: Mailbox\n');
    await expect(applyDeclaredMailServer(options)).rejects.toMatchObject({ exitCode: 78 });
  });
});
