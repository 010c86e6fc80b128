/** Mail that leaves: what an alias sends on, what development mode keeps, and what the administrator does with the queue. */
import { setTimeout as sleep } from 'node:timers/promises';
import { createTransport } from 'nodemailer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RecordingPeer } from '../outbound/recording-peer.ts';
import { runProgram } from '../harness/run-program.ts';
import { startService, type Service } from '../harness/service.ts';

type Row = { readonly messageId: string; readonly state: string; readonly recipient: string; readonly sender: string };

/** `postrider queue`, on the service's database. */
async function queue(service: Service, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runProgram(process.execPath, ['cli/postrider.ts', 'queue', ...args], {
    env: { DATABASE_URL: service.databaseUrl },
  });
  if (code !== 0) throw new Error(`postrider queue ${args.join(' ')}: ${stderr}`);
  return stdout;
}

async function rows(service: Service, ...args: readonly string[]): Promise<readonly Row[]> {
  const lines = (await queue(service, 'list', '--json', ...args)).split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as Row);
}

async function submit(service: Service, to: readonly string[]): Promise<void> {
  const { alice } = service.users;
  const transport = createTransport({
    host: '127.0.0.1',
    port: service.ports.submission,
    auth: { user: alice.address, pass: alice.password },
    tls: { rejectUnauthorized: false },
  });
  await transport.sendMail({ from: alice.address, to: [...to], subject: 'out', text: 'Good day.' });
  transport.close();
}

async function until(isSo: () => Promise<boolean> | boolean): Promise<void> {
  for (const deadline = performance.now() + 20_000; !(await isSo()); await sleep(50)) {
    if (performance.now() > deadline) throw new Error('it did not become so');
  }
}

describe('a service that sends', () => {
  let peer: RecordingPeer;
  let service: Service;
  beforeAll(async () => {
    peer = await RecordingPeer.start();
    service = await startService({ manifests: manifests(peer.port) });
  });
  afterAll(async () => {
    await service[Symbol.asyncDispose]();
    await peer[Symbol.asyncDispose]();
  });

  test('an alias sends on to its member elsewhere, and keeps a copy for the one here', async () => {
    await service.deliver('away@example.test', 'From: x@there.test\r\nSubject: on\r\n\r\nGood day.\r\n');
    await until(() => peer.arrived.has('friend@there.test'));
    await until(() => service.log().includes('"mailboxes":1'));
    await until(async () => (await rows(service)).length === 0);
  });

  test('hold, list, release; what went out is shown with its attempt', async () => {
    await submit(service, ['one@unreachable.test', 'two@unreachable.test']);
    await until(async () => (await rows(service, '--deferred')).length === 2);
    expect(await queue(service, 'hold', '--domain', 'unreachable.test', '--reason', 'not now')).toContain('held: 2');
    const [held] = await rows(service, '--state', 'held', '--sender', service.users.alice.address);
    expect(held).toMatchObject({ state: 'held', sender: service.users.alice.address });
    expect(await queue(service, 'release', `q${held?.messageId}`)).toContain('released: 2');
    expect(await queue(service, 'retry', '--domain', 'unreachable.test', '--to-route', 'default/out')).toContain(
      '2 recipients',
    );
    await until(() => peer.arrived.has('one@unreachable.test') && peer.arrived.has('two@unreachable.test'));
    const shown = async () => queue(service, 'show', `q${held?.messageId}`);
    await until(async () => (await shown()).split('delivered').length > 4);
    expect(await shown()).toMatch(/later[\s\S]*delivered .*127\.0\.0\.1.*250 2\.0\.0 taken/);
    expect(await queue(service, 'stats')).toContain('the queue is empty');
  });

  test('what is cancelled is gone, and its sender hears of it where that was asked for', async () => {
    await submit(service, ['three@unreachable.test']);
    expect((await rows(service)).length).toBe(1);
    expect(await queue(service, 'cancel', '--all', '--notify')).toContain('1 recipients');
    await until(async () => (await rows(service)).length === 0);
    await until(() => service.log().includes('msg.notice'));
    expect(peer.arrived.has('three@unreachable.test')).toBe(false);
  });
});

test('in development mode what would leave is kept, and mail for accounts here arrives', async () => {
  await using service = await startService({ env: { DEVELOPMENT_MODE: 'true' } });
  await submit(service, ['someone@gmail.com', service.users.bob.address]);
  await until(async () => (await rows(service, '--state', 'captured')).length === 1);
  expect(await rows(service)).toMatchObject([{ recipient: 'someone@gmail.com', state: 'captured' }]);
  await until(() => service.log().includes('msg.captured'));
});

function manifests(port: number): string {
  return `
apiVersion: postrider.dev/v1alpha1
kind: MailAlias
metadata: {name: away}
spec: {address: away@example.test, members: [friend@there.test, alice@example.test]}
---
apiVersion: postrider.dev/v1alpha1
kind: MailRoute
metadata: {name: out}
spec:
  match: {recipientDomains: [there.test]}
  targets: [{type: Smarthost, host: 127.0.0.1, port: ${port}, tls: {mode: Disabled}}]
---
apiVersion: postrider.dev/v1alpha1
kind: MailRoute
metadata: {name: nowhere}
spec:
  match: {recipientDomains: [unreachable.test]}
  targets: [{type: Smarthost, host: 127.0.0.1, port: 1, tls: {mode: Disabled}}]
`;
}
