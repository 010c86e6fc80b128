/** How the operator finds the API server and logs in: from a pod's files, from a kubeconfig, with kubectl as witness. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { systemClock } from '#shared/base/clock.ts';
import { configMaps } from '#operator/kube/core-resources.ts';
import { createKubeClient } from '#operator/kube/http-client.ts';
import { loadKubeAccess, readServiceAccount } from '#operator/kube/kube-config.ts';
import { isUnauthorized } from '#operator/kube/kube-error.ts';
import { lacksKube } from '../harness/kube-assets.ts';
import { startKubeApiserver, testClientOptions, type KubeApiserver } from '../harness/kube-apiserver.ts';
import { runProgram } from '../harness/run-program.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'kube-access-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function kubeconfig(cluster: object, user: object, context: object = {}): Promise<string> {
  const file = path.join(folder, 'config');
  const config = {
    'current-context': 'here',
    contexts: [{ name: 'here', context: { cluster: 'c', user: 'u', ...context } }],
    clusters: [{ name: 'c', cluster: { server: 'https://kube.example.org:6443/', ...cluster } }],
    users: [{ name: 'u', user }],
  };
  await writeFile(file, stringify(config));
  return file;
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');

test('in a pod, the files of the service account are read', async () => {
  await writeFile(path.join(folder, 'ca.crt'), 'the authority\n');
  await writeFile(path.join(folder, 'namespace'), 'mail\n');
  await writeFile(path.join(folder, 'token'), 'the token\n');
  const env = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' };
  expect(await readServiceAccount(env, folder)).toMatchObject({
    server: 'https://[fd00::1]:6443',
    ca: 'the authority',
    namespace: 'mail',
    login: { tokenFile: path.join(folder, 'token') },
  });
  await rm(path.join(folder, 'ca.crt'));
  await expect(readServiceAccount(env, folder)).rejects.toMatchObject({ exitCode: 78 });
});

test('a kubeconfig with a client certificate', async () => {
  const user = { 'client-certificate-data': base64('CERT'), 'client-key-data': base64('KEY') };
  const cluster = { 'certificate-authority-data': base64('CA'), 'tls-server-name': 'other' };
  const access = await loadKubeAccess({ KUBECONFIG: await kubeconfig(cluster, user, { namespace: 'team' }) });
  expect(access).toMatchObject({
    server: 'https://kube.example.org:6443',
    ca: 'CA',
    certificate: { certificate: 'CERT', privateKey: 'KEY' },
    serverName: 'other',
    namespace: 'team',
  });
});

test('a kubeconfig that logs in with a program', async () => {
  const program = path.join(folder, 'login');
  const credential = {
    apiVersion: 'client.authentication.k8s.io/v1',
    kind: 'ExecCredential',
    status: { token: 'xyz' },
  };
  await writeFile(program, `#!/bin/sh\necho '${JSON.stringify(credential)}'\n`, { mode: 0o755 });
  const exec = { apiVersion: credential.apiVersion, command: program, interactiveMode: 'Never' };
  const { login } = await loadKubeAccess({ KUBECONFIG: await kubeconfig({}, { exec }) });
  expect(login && 'ask' in login && (await login.ask())).toBe('Bearer xyz');
});

test.each([
  ['that is not there', '/nowhere/config'],
  ['of which several are named', '/one:/two'],
])('a kubeconfig %s is told in words', async (_what, file) => {
  await expect(loadKubeAccess({ KUBECONFIG: file })).rejects.toMatchObject({ name: 'ProgramFault', exitCode: 78 });
});

test('a kubeconfig with a proxy, or with nothing in it, is told in words', async () => {
  const proxied = await kubeconfig({ 'proxy-url': 'http://proxy:3128' }, { token: 'x' });
  await expect(loadKubeAccess({ KUBECONFIG: proxied })).rejects.toThrow('has a proxy-url');
  await writeFile(proxied, '');
  await expect(loadKubeAccess({ KUBECONFIG: proxied })).rejects.toMatchObject({ exitCode: 78 });
});

describe.skipIf(lacksKube())('on a real API server', () => {
  let kube: KubeApiserver;
  beforeAll(async () => {
    kube = await startKubeApiserver({ users: { nobody: [] } });
  });
  afterAll(async () => {
    await kube?.[Symbol.asyncDispose]();
  });

  async function kubectl(input: string, ...words: readonly string[]): Promise<string> {
    const program = path.join(kube.assets, 'kubectl');
    const { code, stdout, stderr } = await runProgram(program, ['--kubeconfig', kube.kubeconfig, ...words], { input });
    expect(stderr).toBe('');
    expect(code).toBe(0);
    return stdout;
  }

  test('kubectl and the client see the same, with the same kubeconfig', async () => {
    const access = await loadKubeAccess({ KUBECONFIG: kube.kubeconfig });
    await using client = createKubeClient({ ...testClientOptions(), access });
    const map = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'one', namespace: 'default' },
      data: { a: '1' },
    };
    await kubectl(JSON.stringify(map), 'apply', '--server-side', '-f', '-');
    const at = { namespace: 'default', name: 'one' };
    expect((await client.get(configMaps, at)).data).toEqual({ a: '1' });
    await client.apply(configMaps, { ...map, data: { a: '1', b: '2' } });
    const seen = JSON.parse(await kubectl('', 'get', 'configmap', 'one', '-o', 'json', '--show-managed-fields')) as {
      readonly data: unknown;
      readonly metadata: {
        readonly managedFields: readonly { readonly manager: string; readonly operation: string }[];
      };
    };
    expect(seen.data).toEqual({ a: '1', b: '2' });
    const managers = seen.metadata.managedFields.map(({ manager, operation }) => `${manager} ${operation}`);
    expect(managers.toSorted()).toEqual(['kubectl Apply', 'postrider-test Apply']);
  });

  test('who may not is told so', async () => {
    await using client = createKubeClient({ ...testClientOptions(), access: kube.accessOf('nobody') });
    await expect(client.list(configMaps)).rejects.toMatchObject({ status: 403, reason: 'Forbidden' });
  });

  test('a token that was rotated in its file is used as soon as the old one is refused', async () => {
    const tokenFile = path.join(folder, 'token');
    await writeFile(tokenFile, 'not-yet\n');
    const options = testClientOptions();
    await using client = createKubeClient({
      ...options,
      clock: systemClock,
      access: { ...kube.access, login: { tokenFile } },
    });
    await expect(client.list(configMaps)).rejects.toSatisfy(isUnauthorized);
    const { login } = kube.access;
    await writeFile(tokenFile, login && 'token' in login ? login.token : '');
    expect((await client.list(configMaps, { namespace: 'default' })).items.length).toBeGreaterThan(0);
  });

  test('a certificate of another authority is not trusted', async () => {
    await using client = createKubeClient({ ...testClientOptions(), access: { ...kube.access, ca: null } });
    await expect(client.getText('/readyz', { deadlineMs: 2_000 })).rejects.toMatchObject({ status: 0 });
  });
});
