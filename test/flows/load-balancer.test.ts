/** Clients behind a load balancer that sends PROXY headers, on every kind of listener; and who may send one. */
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { LineClient } from '../harness/line-client.ts';
import { startService, type Service } from '../harness/service.ts';

const balancer = '127.0.0.2';
let service: Service;

beforeAll(async () => {
  service = await startService({ env: { PROXY_PROTOCOL_NETWORKS: `${balancer}/32` } });
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
});

async function connect(port: number, from: string): Promise<net.Socket> {
  const socket = net.connect({ host: '127.0.0.1', port, localAddress: from });
  await once(socket, 'connect');
  return socket;
}

const line = (client: string): string => `PROXY TCP4 ${client} 127.0.0.1 4711 25\r\n`;

function binary(client: string): Buffer {
  const addresses = [...client.split('.').map(Number), 127, 0, 0, 1, 0x12, 0x67, 0, 25];
  return Buffer.concat([Buffer.from('0d0a0d0a000d0a515549540a2111000c', 'hex'), Buffer.from(addresses)]);
}

async function secure(socket: net.Socket): Promise<tls.TLSSocket> {
  const secured = tls.connect({ socket, rejectUnauthorized: false });
  await once(secured, 'secureConnect');
  return secured;
}

const logged = (address: string): Promise<void> =>
  vi.waitFor(
    () => expect(service.log()).toMatch(new RegExp(`conn\\.open.*"${address.replaceAll('.', '\\.')}"`)),
    5_000,
  );

test('SMTP: the Received field names the client, whose first command came together with the header', async () => {
  const socket = await connect(service.ports.smtp, balancer);
  socket.write(`${line('192.0.2.7')}EHLO client.example\r\n`);
  await using client = LineClient.over(socket);
  await client.line(/^220 /);
  await client.line(/^250 /);
  await client.ask('MAIL FROM:<a@elsewhere.example>', /^250/);
  await client.ask(`RCPT TO:<${service.users.alice.address}>`, /^250/);
  await client.ask('DATA', /^354/);
  await client.ask('Subject: through the balancer\r\n\r\nHello\r\n.', /^250/);
  await client.ask('QUIT', /^221/);
  await using imap = await LineClient.connect(service.ports.imapTls, true);
  await imap.line(/^\* OK/);
  const { address, password } = service.users.alice;
  await imap.ask(`a LOGIN ${address} "${password}"`, /^a OK/);
  await imap.ask('b SELECT INBOX', /^b OK/);
  imap.send('c FETCH * BODY.PEEK[HEADER.FIELDS (RECEIVED)]\r\n');
  await imap.line(/\[192\.0\.2\.7\]/);
});

test('SMTP with TLS from the first byte', async () => {
  const socket = await connect(service.ports.submissionTls, balancer);
  socket.write(binary('192.0.2.8'));
  await using client = LineClient.over(await secure(socket));
  await client.line(/^220 /);
  await logged('192.0.2.8');
});

test('SMTP that turns to TLS keeps its client', async () => {
  const socket = await connect(service.ports.submission, balancer);
  socket.write(line('192.0.2.9'));
  await using plain = LineClient.over(socket);
  await plain.line(/^220 /);
  await plain.ask('EHLO client.example', /^250 /);
  await plain.ask('STARTTLS', /^220/);
  socket.removeAllListeners('data');
  await using client = LineClient.over(await secure(socket));
  await client.ask('EHLO client.example', /^250 /);
  await client.ask(`AUTH PLAIN ${Buffer.from('\0nobody@example.test\0wrong').toString('base64')}`, /^535/);
  await vi.waitFor(() => {
    const [, connection] = /"connection":"([^"]+)","event":"conn\.open"[^\n]*"192\.0\.2\.9"/.exec(service.log()) ?? [];
    expect(service.log()).toContain(`"connection":"${connection}","event":"auth.fail"`);
  }, 5_000);
});

test('IMAP in clear and with TLS, with headers in pieces', async () => {
  const socket = await connect(service.ports.imap, balancer);
  socket.setNoDelay(true);
  for (const byte of line('192.0.2.10')) {
    socket.write(byte);
    await new Promise(setImmediate);
  }
  await using plain = LineClient.over(socket);
  await plain.line(/^\* OK/);
  await logged('192.0.2.10');

  const other = await connect(service.ports.imapTls, balancer);
  other.write(binary('192.0.2.11'));
  await using client = LineClient.over(await secure(other));
  await client.line(/^\* OK/);
  await logged('192.0.2.11');
});

test('a balancer that asks for itself is served under its own address', async () => {
  const socket = await connect(service.ports.imap, balancer);
  socket.write('PROXY UNKNOWN\r\n');
  await using client = LineClient.over(socket);
  await client.line(/^\* OK/);
  await logged(balancer);
});

test('a balancer without a header is dropped, and the log says so', async () => {
  const socket = await connect(service.ports.smtp, balancer);
  socket.on('error', () => undefined);
  socket.write('EHLO client.example\r\n');
  socket.resume();
  await once(socket, 'close');
  await vi.waitFor(() => expect(service.log()).toMatch(/conn\.no-proxy-header.*127\.0\.0\.2/), 5_000);
});

test('nobody else is believed', async () => {
  await using client = await LineClient.connect(service.ports.smtp);
  await client.line(/^220 /);
  await client.ask(line('192.0.2.66').trimEnd(), /^5\d\d /);
  await client.ask('EHLO client.example', /^250 /);
  expect(service.log()).not.toContain('192.0.2.66');
});
