/** Start, readiness and stop of the real program. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ImapFlow } from 'imapflow';
import { expect, test } from 'vitest';
import { LineClient } from '../harness/line-client.ts';
import { freePorts } from '../harness/ports.ts';
import { startService, type Service } from '../harness/service.ts';

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

async function openPorts(service: Service): Promise<readonly string[]> {
  const open: string[] = [];
  for (const [name, port] of Object.entries(service.ports)) if (await isOpen(port)) open.push(name);
  return open;
}

const readyz = async (service: Service) => {
  const response = await fetch(`http://127.0.0.1:${service.ports.http}/readyz`);
  return { status: response.status, report: (await response.json()) as { state: string } };
};

async function until(isSo: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 15_000;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error('it did not become so');
    await sleep(50);
  }
}

async function imapLogin(service: Service): Promise<LineClient> {
  const client = await LineClient.connect(service.ports.imapTls, true);
  await client.line(/^\* OK/);
  const { address, password } = service.users.alice;
  await client.ask(`a1 LOGIN ${address} "${password}"`, /^a1 OK/);
  return client;
}

test('when it says ready, every listener is open; SIGTERM ends it with 0 and the next start has the same mail', async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'postrider-restart-'));
  try {
    await using first = await startService({ dataDirectory: folder });
    expect(await openPorts(first)).toEqual(Object.keys(first.ports));
    await first.deliver(first.users.alice.address, 'Subject: kept\r\n\r\nbody\r\n');
    expect(await first.stop()).toBe(0);
    expect(await openPorts(first)).toEqual([]);
    await using second = await startService({ dataDirectory: folder, databaseUrl: first.databaseUrl });
    const { address: user, password: pass } = second.users.alice;
    const client = new ImapFlow({
      host: '127.0.0.1',
      port: second.ports.imapTls,
      secure: true,
      tls: { rejectUnauthorized: false },
      auth: { user, pass },
      logger: false,
    });
    await client.connect();
    await client.mailboxOpen('INBOX');
    const message = await client.fetchOne('*', { envelope: true });
    expect(message && message.envelope?.subject).toBe('kept');
    await client.logout();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test('readyz is 503 until the database was seen and every listener is bound', async () => {
  // A database that takes the connection and says nothing: the start hangs there.
  await using silent = net
    .createServer((socket) => socket.on('error', () => undefined).resume())
    .listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const [http] = (await freePorts(1)) as [number];
  const folder = await mkdtemp(path.join(os.tmpdir(), 'postrider-starting-'));
  const child = spawn(process.execPath, ['cli/postrider.ts', 'run', '--local'], {
    env: {
      PATH: process.env['PATH'],
      DATABASE_URL: `postgres://mail@127.0.0.1:${(silent.address() as net.AddressInfo).port}/mail`,
      DATA_DIR: folder,
      HTTP_PORT: String(http),
    },
    stdio: 'ignore',
  });
  const ended = once(child, 'close');
  try {
    await until(() => isOpen(http));
    const response = await fetch(`http://127.0.0.1:${http}/readyz`);
    expect(response.status).toBe(503);
    expect(await response.json()).toEqual({
      state: 'starting',
      isReady: false,
      reasons: [
        { name: 'database', reason: 'not seen yet' },
        { name: 'listeners', reason: 'not open yet' },
      ],
    });
    expect((await fetch(`http://127.0.0.1:${http}/healthz`)).status).toBe(200);
  } finally {
    child.kill('SIGKILL');
    await ended;
    await rm(folder, { recursive: true, force: true });
  }
});

test('ROLES=imap opens only its own ports', async () => {
  await using service = await startService({ env: { ROLES: 'imap' } });
  expect(await openPorts(service)).toEqual(['imap', 'imapTls', 'http']);
});

test('after SIGTERM it is not ready, still takes connections for DRAIN_DELAY, then none', async () => {
  await using service = await startService({ env: { DRAIN_DELAY: '3s', GRACE_PERIOD: '20s' } });
  const stopped = service.stop();
  await until(async () => (await readyz(service)).status === 503);
  expect((await readyz(service)).report.state).toBe('stopping');
  await using late = await LineClient.connect(service.ports.smtp);
  await late.line(/^220 /);
  await service.deliver(service.users.bob.address, 'Subject: late\r\n\r\nin time\r\n');
  await until(async () => !(await isOpen(service.ports.smtp)));
  expect(await stopped).toBe(0);
});

test('a message that is being received is finished, stored and answered; idle SMTP clients hear 421', async () => {
  await using service = await startService({ env: { GRACE_PERIOD: '20s' } });
  await using idle = await LineClient.connect(service.ports.smtp);
  await idle.line(/^220 /);
  await idle.ask('EHLO idle.test', /^250 /);
  await using sender = await LineClient.connect(service.ports.smtp);
  await sender.line(/^220 /);
  await sender.ask('EHLO sender.test', /^250 /);
  await sender.ask('MAIL FROM:<a@sender.test>', /^250/);
  await sender.ask(`RCPT TO:<${service.users.alice.address}>`, /^250/);
  await sender.ask('DATA', /^354/);
  sender.send('Subject: cut?\r\n\r\nfirst half\r\n');
  const stopped = service.stop();
  await idle.line(/^421 /);
  await idle.ended();
  await until(async () => !(await isOpen(service.ports.smtp)));
  sender.send('second half\r\n.\r\n');
  expect(await sender.line(/^\d\d\d /)).toMatch(/^250 /);
  expect(await stopped).toBe(0);
});

test('IMAP clients that wait or idle hear BYE, a running command is finished first', async () => {
  await using service = await startService({ env: { GRACE_PERIOD: '20s' } });
  await using waiting = await imapLogin(service);
  await using idling = await imapLogin(service);
  await idling.ask('a2 SELECT INBOX', /^a2 OK/);
  await idling.ask('a3 IDLE', /^\+/);
  const stopped = service.stop();
  await waiting.line(/^\* BYE/);
  await idling.line(/^\* BYE/);
  await waiting.ended();
  await idling.ended();
  expect(await stopped).toBe(0);
});

test('what does not finish in GRACE_PERIOD is dropped', async () => {
  await using service = await startService({ env: { GRACE_PERIOD: '2s' } });
  await using sender = await LineClient.connect(service.ports.smtp);
  await sender.line(/^220 /);
  await sender.ask('EHLO sender.test', /^250 /);
  await sender.ask('MAIL FROM:<a@sender.test>', /^250/);
  await sender.ask(`RCPT TO:<${service.users.alice.address}>`, /^250/);
  await sender.ask('DATA', /^354/);
  const startedAt = performance.now();
  expect(await service.stop()).toBe(0);
  expect(performance.now() - startedAt).toBeLessThan(6_000);
  await sender.ended();
  expect(sender.pending).not.toMatch(/^250/m);
});

test('a second signal ends it at once', async () => {
  await using service = await startService({ env: { DRAIN_DELAY: '60s', GRACE_PERIOD: '90s' } });
  service.process.kill('SIGTERM');
  await until(async () => (await readyz(service)).status === 503);
  service.process.kill('SIGINT');
  const [, signal] = (await once(service.process, 'close')) as [number | null, NodeJS.Signals | null];
  expect(signal).toBe('SIGINT');
});
