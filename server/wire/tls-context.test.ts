/** Which certificate a client sees, over real sockets. */
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import tls from 'node:tls';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { makeSelfSigned } from '#server/tls/self-signed.ts';
import { Listener } from './listener.ts';
import { assertUsable, TlsContext, type OwnCertificate, type TlsMaterial } from './tls-context.ts';

const made = new Map<string, TlsMaterial>();
beforeAll(async () => {
  for (const name of ['own.test', 'a.test', '*.wild.test', 'next.test']) {
    made.set(name, await makeSelfSigned([name], new Date()));
  }
});
const material = (name: string): TlsMaterial => {
  const found = made.get(name);
  if (!found) throw new Error(name);
  return found;
};

let listener: Listener | null = null;
afterEach(async () => {
  await listener?.drain(0);
});

async function serve(own: OwnCertificate = 'last', ticketKeys: Buffer | null = null): Promise<TlsContext> {
  const context = new TlsContext(material('own.test'), ticketKeys, own);
  listener = await Listener.open({
    name: 'test',
    host: '127.0.0.1',
    port: 0,
    maxConnections: 10,
    maxConnectionsPerAddress: 10,
    tls: context,
    tooManyReply: '',
    serve: async (connection) => {
      await connection.write('hello\r\n');
      await connection.read(5000);
    },
  });
  return context;
}

function dial(servername: string, session?: Buffer, version?: tls.SecureVersion): tls.TLSSocket {
  return tls.connect({
    host: '127.0.0.1',
    port: listener?.port ?? 0,
    rejectUnauthorized: false,
    servername,
    ...(session && { session }),
    ...(version && { minVersion: version, maxVersion: version }),
  });
}

async function connect(servername: string, session?: Buffer, version?: tls.SecureVersion): Promise<tls.TLSSocket> {
  const socket = dial(servername, session, version);
  await once(socket, 'data');
  return socket;
}

/** The name in the certificate that a client sees who asks for `servername`. */
async function seen(servername: string): Promise<string> {
  const socket = await connect(servername);
  const name = new X509Certificate(socket.getPeerCertificate(true).raw).subjectAltName ?? '';
  socket.destroy();
  return name.replace('DNS:', '');
}

const named = (name: string, isDefault = false) => ({ names: [name], isDefault, material: material(name) });

test('a client sees the certificate of the name that it asks for, else the default, else our own', async () => {
  const context = await serve();
  expect(await seen('a.test')).toBe('own.test');
  context.replaceNamed([named('a.test'), named('*.wild.test')]);
  expect(await seen('a.test')).toBe('a.test');
  expect(await seen('A.TEST')).toBe('a.test');
  expect(await seen('x.wild.test')).toBe('*.wild.test');
  expect(await seen('x.y.wild.test')).toBe('own.test');
  expect(await seen('wild.test')).toBe('own.test');
  expect(await seen('')).toBe('own.test');
  context.replaceNamed([named('a.test'), named('next.test', true)]);
  expect(await seen('')).toBe('next.test');
  expect(await seen('other.test')).toBe('next.test');
  expect(await seen('a.test')).toBe('a.test');
});

test('of two for one name the default counts, whichever came first and whatever name it has it by', async () => {
  const context = await serve();
  const shadow = (name: string) => ({ ...named('next.test'), names: [name] });
  context.replaceNamed([shadow('a.test'), shadow('x.wild.test'), named('a.test', true)]);
  expect(await seen('a.test')).toBe('a.test');
  expect(await seen('x.wild.test')).toBe('next.test');
  context.replaceNamed([shadow('x.wild.test'), named('*.wild.test', true)]);
  expect(await seen('x.wild.test')).toBe('*.wild.test');
});

test('where our own comes first, the others are for the names that it has not', async () => {
  const context = await serve('first');
  context.replaceNamed([named('a.test', true), { ...named('next.test'), names: ['own.test'] }]);
  expect(await seen('own.test')).toBe('own.test');
  expect(await seen('')).toBe('own.test');
  expect(await seen('a.test')).toBe('a.test');
});

test.each(['TLSv1.2', 'TLSv1.3'] as const)('sessions with a named certificate are resumed (%s)', async (version) => {
  const keys = Buffer.alloc(48, 1);
  const context = await serve('last', keys);
  context.replaceNamed([named('a.test')]);
  const first = dial('a.test', undefined, version);
  const [session] = (await once(first, 'session')) as [Buffer];
  first.destroy();
  const again = await connect('a.test', session, version);
  expect(again.isSessionReused()).toBe(true);
  again.destroy();
  context.replace(material('own.test'), Buffer.alloc(48, 2));
  const later = await connect('a.test', session, version);
  expect(later.isSessionReused()).toBe(false);
  expect(later.getPeerCertificate().subjectaltname).toBe('DNS:a.test');
  later.destroy();
});

test('a key that is not the certificate’s is found before it is used', () => {
  const { certificate } = material('a.test');
  const { privateKey } = material('own.test');
  expect(() => assertUsable({ certificate, privateKey })).toThrow('key values mismatch');
  expect(() => assertUsable(material('a.test'))).not.toThrow();
});
