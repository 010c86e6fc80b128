import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { expect, test } from 'vitest';
import { createKeyring } from '#shared/directory/keyring.ts';
import { Listener } from '#server/wire/listener.ts';
import { TlsContext, type TlsMaterial } from '#server/wire/tls-context.ts';
import { makeSelfSigned } from './self-signed.ts';
import { ticketKeysOfDay } from './ticket-keys.ts';

let now = new Date('2026-11-21T23:59:00Z');
const clock = { now: () => now, monotonicMs: () => 0 };
const keyringOf = (byte: number) => createKeyring(new Map([['k', Buffer.alloc(32, byte)]]), 'k');
const keysOf = (byte: number) => ticketKeysOfDay(keyringOf(byte), clock)();

test('the same keyring gives the same keys on the same day, another day or keyring gives others', () => {
  now = new Date('2026-11-21T23:59:00Z');
  const today = keysOf(1);
  expect(today).toHaveLength(48);
  expect(keysOf(1)).toEqual(today);
  expect(keysOf(2)).not.toEqual(today);
  now = new Date('2026-11-22T00:00:00Z');
  expect(keysOf(1)).not.toEqual(today);
});

async function open(material: TlsMaterial, keys: Buffer): Promise<Listener & AsyncDisposable> {
  const listener = await Listener.open({
    name: 'test',
    host: '127.0.0.1',
    port: 0,
    maxConnections: 10,
    maxConnectionsPerAddress: 10,
    tls: new TlsContext(material, keys),
    tooManyReply: '',
    serve: async (connection) => {
      await connection.write('hello\r\n');
      await connection.read(5000);
    },
  });
  return Object.assign(listener, { [Symbol.asyncDispose]: () => listener.drain(0) });
}

function connect(port: number, version: tls.SecureVersion, session?: Buffer): tls.TLSSocket {
  return tls.connect({
    socket: net.connect(port, '127.0.0.1'),
    rejectUnauthorized: false,
    minVersion: version,
    maxVersion: version,
    ...(session && { session }),
  });
}

/** What a client keeps for the next time. */
async function sessionWith(port: number, version: tls.SecureVersion): Promise<Buffer> {
  const socket = connect(port, version);
  const [session] = (await once(socket, 'session')) as [Buffer];
  socket.destroy();
  return session;
}

async function isResumed(port: number, version: tls.SecureVersion, session: Buffer): Promise<boolean> {
  const socket = connect(port, version, session);
  await once(socket, 'data');
  const isReused = socket.isSessionReused();
  socket.destroy();
  return isReused;
}

test.each(['TLSv1.2', 'TLSv1.3'] as const)(
  '%s: a session begun with one server is resumed by another',
  async (version) => {
    const material = await makeSelfSigned(['localhost'], new Date());
    await using one = await open(material, keysOf(1));
    await using two = await open(material, keysOf(1));
    await using stranger = await open(material, keysOf(2));
    const session = await sessionWith(one.port, version);
    expect(await isResumed(two.port, version, session)).toBe(true);
    expect(await isResumed(stranger.port, version, session)).toBe(false);
  },
);
