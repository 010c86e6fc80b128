import 'reflect-metadata';
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';
import { X509CertificateGenerator } from '@peculiar/x509';
import { beforeAll, expect, test } from 'vitest';
import { ProgramFault } from '#shared/base/program-fault.ts';
import { ConnectionLost, type Connection } from './connection.ts';
import { Listener, type ListenerOptions } from './listener.ts';
import { TlsContext, type TlsMaterial } from './tls-context.ts';

let material: TlsMaterial;
beforeAll(async () => {
  material = await selfSigned('one.test');
});

const plainOptions: Omit<ListenerOptions, 'serve'> = {
  name: 'test',
  host: '127.0.0.1',
  port: 0,
  maxConnections: 10,
  maxConnectionsPerAddress: 10,
  tls: null,
  tooManyReply: 'too many\r\n',
};

test('small writes leave together when the next read waits', async () => {
  await using at = await open(async (connection) => {
    for (let n = 0; n < 100; n++) await connection.write(`line ${n}\r\n`);
    await connection.read(5_000);
  });
  const client = await dial(at.listener.port);
  const [first] = (await once(client, 'data')) as [Buffer];
  expect(first.toString()).toMatch(/^line 0\r\n[^]*line 99\r\n$/);
  client.destroy();
});

test('strings and bytes of all sizes arrive as they were written, though what they lie in is written over at once', async () => {
  const sizes = [1, 40, 8190, 20_000, 3, 131_072, 131_071, 17, 300_000, 8192, 9000, 262_144, 1];
  const written: Buffer[] = [];
  await using at = await open(async (connection) => {
    for (let n = 0; n < 60; n++) {
      const bytes = Buffer.alloc(sizes[n % sizes.length] ?? 0, `${n} is not like the others; `);
      written.push(Buffer.from(bytes));
      await connection.write(n % 3 === 0 ? bytes : bytes.toString('latin1'));
      bytes.fill('overwritten');
    }
    await connection.flush();
  });
  const client = await dial(at.listener.port);
  const received: Buffer[] = [];
  client.on('data', (chunk: Buffer) => received.push(chunk));
  await once(client, 'end');
  expect(Buffer.concat(received).equals(Buffer.concat(written))).toBe(true);
  client.destroy();
});

test('a read ends with the reason there are no bytes', async () => {
  const outcomes: unknown[] = [];
  await using at = await open(async (connection) => {
    outcomes.push(await connection.read(20));
    setTimeout(() => connection.interrupt(), 20);
    outcomes.push(await connection.read(5_000));
    await connection.write('now\r\n');
    outcomes.push(String(await connection.read(5_000)));
    outcomes.push(await connection.read(5_000));
    await connection.write('you may still hear this\r\n');
  });
  const client = await dial(at.listener.port);
  await once(client, 'data');
  client.end('last words');
  const [answer] = (await once(client, 'data')) as [Buffer];
  expect(outcomes).toEqual(['timeout', 'interrupted', 'last words', 'end']);
  expect(answer.toString()).toBe('you may still hear this\r\n');
});

test('an interruption that comes while nobody reads ends the next wait', async () => {
  const outcomes: unknown[] = [];
  await using at = await open(async (connection) => {
    connection.interrupt();
    outcomes.push(await connection.read(5_000));
    outcomes.push(await connection.read(20));
  });
  const client = await dial(at.listener.port);
  client.resume();
  await once(client, 'close');
  expect(outcomes).toEqual(['interrupted', 'timeout']);
});

test('a peer on a slow link gets all of a large chunk, though it takes longer than the write timeout', async () => {
  const bytes = 24 * 1024 * 1024;
  const started = performance.now();
  let tookMs = 0;
  await using at = await open(
    async (connection) => {
      await connection.write(Buffer.alloc(bytes));
      tookMs = performance.now() - started;
    },
    { connection: { writeTimeoutMs: 250, handshakeTimeoutMs: 1_000 } },
  );
  const client = await dial(at.listener.port);
  let received = 0;
  client.on('data', (chunk: Buffer) => {
    received += chunk.length;
    client.pause();
    setTimeout(() => client.resume(), 1);
  });
  await once(client, 'end');
  expect(received).toBe(bytes);
  expect(tookMs).toBeGreaterThan(250);
  client.destroy();
});

test('a peer that does not read holds the writer up, and is dropped in the end', async () => {
  let written = 0;
  let failure: unknown = null;
  await using at = await open(
    async (connection) => {
      const chunk = Buffer.alloc(256 * 1024);
      try {
        for (;;) {
          await connection.write(chunk);
          written += chunk.length;
        }
      } catch (error) {
        failure = error;
      }
    },
    { connection: { writeTimeoutMs: 200, handshakeTimeoutMs: 1_000 } },
  );
  const client = await dial(at.listener.port);
  client.pause();
  await at.listener.drain(5_000);
  expect(failure).toBeInstanceOf(ConnectionLost);
  expect(written).toBeLessThan(32 * 1024 * 1024);
  client.destroy();
});

test('bytes sent in clear before the handshake never become part of the protected session', async () => {
  const heard: string[] = [];
  await using at = await open(async (connection) => {
    heard.push(String(await connection.read(5_000)));
    await new Promise((resolve) => setTimeout(resolve, 50));
    await connection.startTls(new TlsContext(material), 'go\r\n');
    heard.push(String(await connection.read(5_000)));
    expect(connection.isSecure).toBe(true);
  });
  const client = await dial(at.listener.port);
  client.setNoDelay(true);
  client.write('STARTTLS\r\n');
  await new Promise((resolve) => setTimeout(resolve, 20));
  client.write('INJECTED\r\n');
  await once(client, 'data');
  const secure = connectTls({ socket: client, rejectUnauthorized: false });
  await once(secure, 'secureConnect');
  secure.write('PROTECTED\r\n');
  await at.served();
  expect(heard).toEqual(['STARTTLS\r\n', 'PROTECTED\r\n']);
  secure.destroy();
});

test('TLS from the first byte; the next connection gets a replaced certificate; garbage harms nobody', async () => {
  const tls = new TlsContext(material);
  const refused: string[] = [];
  await using at = await open(
    async (connection) => {
      await connection.write('hello\r\n');
      await connection.read(5_000);
    },
    { tls, onRefused: (why) => refused.push(why) },
  );
  expect(await commonName(at.listener.port)).toBe('one.test');
  tls.replace(await selfSigned('two.test'));
  expect(await commonName(at.listener.port)).toBe('two.test');
  expect(() => tls.replace({ certificate: 'nonsense', privateKey: 'nonsense' })).toThrow();

  const garbage = await dial(at.listener.port);
  garbage.write('EHLO this is not TLS at all\r\n'.repeat(10));
  await once(garbage, 'close');
  const reset = await dial(at.listener.port);
  reset.resetAndDestroy();
  expect(await commonName(at.listener.port)).toBe('two.test');
  await expect.poll(() => refused).toEqual(['tls-handshake', 'tls-handshake']);
});

test.each([
  ['before the handshake', ''],
  ['in its first message', '\x16\x03\x01\x02\x00\x01\x00'],
])('a client that ends its side %s holds no place until the deadline', async (_, sent) => {
  await using at = await open(() => Promise.resolve(), { tls: new TlsContext(material) });
  const client = await dial(at.listener.port);
  client.resume();
  client.end(sent, 'latin1');
  await once(client, 'close');
  await expect.poll(() => at.listener.connections).toBe(0);
});

test('an old TLS version is refused', async () => {
  await using at = await open(async () => {}, { tls: new TlsContext(material) });
  const client = connectTls({
    port: at.listener.port,
    host: '127.0.0.1',
    rejectUnauthorized: false,
    minVersion: 'TLSv1.1',
    maxVersion: 'TLSv1.1',
    ciphers: 'DEFAULT@SECLEVEL=0',
  });
  await expect(once(client, 'secureConnect')).rejects.toThrow(/protocol version/);
});

test('connections over the bounds are told so, and there is room again afterwards', async () => {
  await using at = await open(
    async (connection) => {
      await connection.write('welcome\r\n');
      await connection.read(5_000);
    },
    { maxConnectionsPerAddress: 2 },
  );
  const first = await dial(at.listener.port);
  expect(await line(first)).toBe('welcome\r\n');
  const second = await dial(at.listener.port);
  expect(await line(second)).toBe('welcome\r\n');
  const third = await dial(at.listener.port);
  expect(await line(third)).toBe('too many\r\n');
  third.destroy();
  first.destroy();
  await expect.poll(() => at.listener.connections).toBe(1);
  const fourth = await dial(at.listener.port);
  expect(await line(fourth)).toBe('welcome\r\n');
  second.destroy();
  fourth.destroy();
});

test('a taken port is a fault that says what to do', async () => {
  await using at = await open(async () => {});
  const again = Listener.open({ ...plainOptions, port: at.listener.port, serve: async () => {} });
  await expect(again).rejects.toMatchObject({
    exitCode: 78,
    message: expect.stringContaining(String(at.listener.port)),
  });
  await expect(again).rejects.toBeInstanceOf(ProgramFault);
});

async function open(serve: (connection: Connection) => Promise<void>, change: Partial<ListenerOptions> = {}) {
  let lastServed: Promise<void> = Promise.resolve();
  const listener = await Listener.open({
    ...plainOptions,
    ...change,
    serve: (connection) => (lastServed = serve(connection)),
  });
  return {
    listener,
    served: () => lastServed,
    [Symbol.asyncDispose]: () => listener.drain(100),
  };
}

async function dial(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

async function line(socket: Socket): Promise<string> {
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  return chunk.toString();
}

async function commonName(port: number): Promise<string> {
  const client = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false });
  await once(client, 'secureConnect');
  const name = client.getPeerCertificate().subject.CN;
  // The server's side of the handshake is done when it says something.
  await once(client, 'data');
  client.destroy();
  return String(name);
}

async function selfSigned(name: string): Promise<TlsMaterial> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    keys,
    signingAlgorithm: algorithm,
    notAfter: new Date(Date.now() + 86_400_000),
  });
  const key = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  return {
    certificate: certificate.toString('pem'),
    privateKey: `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----\n`,
  };
}
