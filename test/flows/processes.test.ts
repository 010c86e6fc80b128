/** Several processes of the real program on the same listeners. */
import { once } from 'node:events';
import tls from 'node:tls';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { LineClient } from '../harness/line-client.ts';
import { RecordingPeer } from '../outbound/recording-peer.ts';
import { chosenPorts, startService, type Service, type ServiceOptions } from '../harness/service.ts';

const two = (env: Record<string, string> = {}): ServiceOptions => ({
  env: { PROCESSES: '2', LOG_FORMAT: 'json', ...env },
});

type LogLine = { readonly event?: string; readonly process?: number; readonly pid?: number };

function logged(service: Service, event: string): readonly LogLine[] {
  return service
    .log()
    .split('\n')
    .slice(0, -1) // What follows the last line break is a line that is still being written.
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as LogLine)
    .filter((line) => line.event === event);
}

/** The processes that wrote such a line. */
const processesOf = (service: Service, event: string): ReadonlySet<number | undefined> =>
  new Set(logged(service, event).map(({ process }) => process));

async function until(isSo: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error('it did not become so');
    await sleep(50);
  }
}

const readyz = async (service: Service) => {
  const response = await fetch(`http://127.0.0.1:${service.ports.http}/readyz`);
  return { status: response.status, report: (await response.json()) as { state: string } };
};

async function metric(service: Service, series: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${service.ports.http}/metrics`)).text();
  const lines = text.split('\n').filter((line) => line.startsWith(`${series} `));
  if (lines.length > 1) throw new Error(`${series} is printed ${lines.length} times`);
  return lines[0] === undefined ? 0 : Number(lines[0].slice(series.length));
}

/** Clients that are logged in, at least one of each process. */
async function loggedIn(service: Service, stack: AsyncDisposableStack): Promise<readonly LineClient[]> {
  const { address, password } = service.users.alice;
  const clients: LineClient[] = [];
  while (clients.length < 20 && processesOf(service, 'auth.ok').size < 2) {
    const client = stack.use(await LineClient.connect(service.ports.imapTls, true));
    clients.push(client);
    await client.line(/^\* OK/);
    await client.ask(`a1 LOGIN ${address} "${password}"`, /^a1 OK/);
    await until(() => logged(service, 'auth.ok').length === clients.length);
  }
  return clients;
}

test('connections go to all processes, and what one stores every one tells those who IDLE', async () => {
  await using service = await startService(two());
  await using stack = new AsyncDisposableStack();
  const clients = await loggedIn(service, stack);
  expect(processesOf(service, 'auth.ok')).toEqual(new Set([1, 2]));
  for (const client of clients) {
    await client.ask('a2 SELECT INBOX', /^a2 OK/);
    await client.ask('a3 IDLE', /^\+/);
  }
  await service.deliver(service.users.alice.address, 'Subject: for all\r\n\r\nbody\r\n');
  for (const client of clients) await client.line(/^\* 1 EXISTS/);
});

test('those that serve send what is queued', async () => {
  await using peer = await RecordingPeer.start();
  const manifests = `
apiVersion: postrider.dev/v1alpha1
kind: MailAlias
metadata: {name: away}
spec: {address: away@example.test, members: [friend@there.test]}
---
apiVersion: postrider.dev/v1alpha1
kind: MailRoute
metadata: {name: out}
spec:
  targets: [{type: Smarthost, host: 127.0.0.1, port: ${peer.port}, tls: {mode: Disabled}}]
`;
  await using service = await startService({ ...two(), manifests });
  for (let sent = 0; sent < 10; sent++) {
    await service.deliver('away@example.test', `From: x@there.test\r\nSubject: ${sent}\r\n\r\nbody\r\n`);
  }
  await until(() => peer.arrived.get('friend@there.test') === 10);
  const senders = processesOf(service, 'msg.delivered');
  expect(senders.size > 0 && [...senders].every((sender) => sender === 1 || sender === 2)).toBe(true);
});

test('one scrape shows the sum of all processes, and what was counted stays when one dies', async () => {
  await using service = await startService(two());
  const { alice } = service.users;
  const stored = 'postrider_messages_stored_total{source="delivery"}';
  let sent = 0;
  while (sent < 30 && processesOf(service, 'msg.stored').size < 2) {
    await service.deliver(alice.address, `Subject: ${sent}\r\n\r\nbody\r\n`);
    sent += 1;
    await until(() => logged(service, 'msg.stored').length === sent);
  }
  expect(processesOf(service, 'msg.stored')).toEqual(new Set([1, 2]));
  expect(await metric(service, stored)).toBe(sent);
  expect(await metric(service, 'postrider_processes')).toBe(2);
  expect(await metric(service, 'postrider_info{version="0.1.0",development="false"}')).toBe(1);

  process.kill(logged(service, 'process.ready')[0]?.pid as number, 'SIGKILL');
  await until(() => logged(service, 'process.died').length === 1);
  expect(await metric(service, stored)).toBe(sent);
  expect(await metric(service, 'postrider_process_deaths_total')).toBe(1);
  expect((await readyz(service)).status).toBe(200);
  // Its place is taken again, and all who come are served meanwhile.
  await service.deliver(alice.address, 'Subject: after\r\n\r\nbody\r\n');
  await until(async () => (await metric(service, 'postrider_processes')) === 2);
  expect((await readyz(service)).report.state).toBe('ready');
  expect(await metric(service, stored)).toBe(sent + 1);
});

test('SIGTERM drains all: each finishes what it receives, within one grace time, and the exit code is 0', async () => {
  await using service = await startService(two({ GRACE_PERIOD: '20s' }));
  await using stack = new AsyncDisposableStack();
  const senders: LineClient[] = [];
  for (let n = 0; n < 8; n++) {
    const sender = stack.use(await LineClient.connect(service.ports.smtp));
    await sender.line(/^220 /);
    await sender.ask('EHLO sender.test', /^250 /);
    await sender.ask('MAIL FROM:<a@sender.test>', /^250/);
    await sender.ask(`RCPT TO:<${service.users.alice.address}>`, /^250/);
    await sender.ask('DATA', /^354/);
    sender.send('Subject: cut?\r\n\r\nfirst half\r\n');
    senders.push(sender);
  }
  expect(processesOf(service, 'conn.open')).toEqual(new Set([1, 2]));
  const stopped = service.stop();
  await until(() => logged(service, 'server.stopping').length === 3);
  for (const sender of senders) sender.send('second half\r\n.\r\n');
  for (const sender of senders) expect(await sender.line(/^\d\d\d /)).toMatch(/^250 /);
  expect(await stopped).toBe(0);
});

test('a second signal ends all of them at once', async () => {
  await using service = await startService(two({ DRAIN_DELAY: '60s', GRACE_PERIOD: '90s' }));
  service.process.kill('SIGTERM');
  await until(async () => (await readyz(service)).status === 503);
  service.process.kill('SIGTERM');
  const [, signal] = (await once(service.process, 'close')) as [number | null, NodeJS.Signals | null];
  // "close" comes when nobody holds its output any more: the others are gone too.
  expect(signal).toBe('SIGTERM');
});

test('a port that is taken is told as with one process: no process is left', async () => {
  await using service = await startService(two());
  const ports = { ...(await chosenPorts()), imap: service.ports.imap };
  const starting = startService({ ...two(), ports });
  await expect(starting).rejects.toThrow(/port \d+ on 127.0.0.1 for IMAP is taken by another program/);
  await expect(starting).rejects.toThrow('exit code 78');
});

test.each(['TLSv1.2', 'TLSv1.3'] as const)('%s: a session is resumed by whichever process comes', async (version) => {
  await using service = await startService(two());
  const connect = (session?: Buffer): tls.TLSSocket =>
    tls.connect({
      port: service.ports.imapTls,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      minVersion: version,
      maxVersion: version,
      ...(session && { session }),
    });
  const first = connect();
  const [session] = (await once(first, 'session')) as [Buffer];
  first.destroy();
  const opened = (): number => logged(service, 'conn.open').length;
  await until(() => opened() === 1);
  for (let n = 0; n < 10; n++) {
    const again = connect(session);
    await once(again, 'data');
    expect(again.isSessionReused()).toBe(true);
    again.destroy();
    await until(() => opened() === n + 2);
  }
  expect(processesOf(service, 'conn.open')).toEqual(new Set([1, 2]));
});
