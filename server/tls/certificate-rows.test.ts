/** Certificates from the database to a client's handshake, on a real Postgres and over real sockets. */
import { randomBytes, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import tls from 'node:tls';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { systemClock } from '#shared/base/clock.ts';
import { createDatabase, type PostgresDatabase } from '#shared/db/client.ts';
import { putCertificate, removeCertificate, type StoredCertificate } from '#shared/directory/certificates.ts';
import { createKeyring } from '#shared/directory/keyring.ts';
import { silentLogger } from '#shared/observe/logger.ts';
import { createMetrics } from '#shared/observe/metrics.ts';
import { Listener } from '#server/wire/listener.ts';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { CertificateRows } from './certificate-rows.ts';
import { Certificate } from './certificate.ts';
import { makeSelfSigned } from './self-signed.ts';

const keyring = createKeyring(new Map([['k', randomBytes(32)]]), 'k');
const metrics = createMetrics();
let server: TestDatabase;
let database: PostgresDatabase;
let directory = '';
beforeAll(async () => {
  server = await createTestDatabase();
  database = createDatabase({ url: server.url, maxConnections: 4 });
  directory = await mkdtemp(path.join(os.tmpdir(), 'tls-rows-'));
});
afterAll(async () => {
  await database[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

let stack = new AsyncDisposableStack();
let port = 0;
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  await database.db.deleteFrom('certificate').execute();
});
afterEach(() => stack.disposeAsync());

async function serve(options: { readonly sweepMs?: number } = {}): Promise<Certificate> {
  const certificate = stack.use(
    await Certificate.open({
      files: null,
      directory,
      names: ['own.test'],
      clock: systemClock,
      logger: silentLogger,
      metrics,
    }),
  );
  const { takeNamed: changed } = certificate;
  stack.use(
    await CertificateRows.open({ database, keyring, clock: systemClock, logger: silentLogger, changed, ...options }),
  );
  const listener = await Listener.open({
    name: 'test',
    host: '127.0.0.1',
    port: 0,
    maxConnections: 50,
    maxConnectionsPerAddress: 50,
    tls: certificate.context,
    tooManyReply: '',
    serve: async (connection) => {
      await connection.write('hello\r\n');
      await connection.read(5000);
    },
  });
  stack.defer(() => listener.drain(0));
  port = listener.port;
  return certificate;
}

/** The serial number that a client sees who asks for `servername`. */
async function seen(servername: string): Promise<string> {
  const socket = tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false, servername });
  await once(socket, 'secureConnect');
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

const serial = ({ material }: Pick<StoredCertificate, 'material'>): string =>
  new X509Certificate(material.certificate).serialNumber;

async function made(
  name: string,
  more: Partial<StoredCertificate> = {},
  from = new Date(),
): Promise<StoredCertificate> {
  const { certificate, privateKey } = await makeSelfSigned([name], from);
  const material = { certificate: String(certificate), privateKey: String(privateKey) };
  const notAfter = new X509Certificate(material.certificate).validToDate;
  const facts = { resourceName: 'mail/x', source: 'secret', names: [name], isDefault: false } as const;
  return { owner: `MailDomain/${name}`, ...facts, notAfter, material, ...more };
}
const put = (certificate: StoredCertificate): Promise<boolean> => putCertificate(database.db, keyring, certificate);

/** Far less than a sweep, so that it was the notification. */
const soon = { timeout: 5_000, interval: 20 };

test('a new certificate is shown within seconds, its successor too, and none after it was removed', async () => {
  const own = serial({ material: (await serve()).context.material as StoredCertificate['material'] });
  const a = await made('a.test');
  expect(await put(a)).toBe(true);
  await vi.waitFor(async () => expect(await seen('a.test')).toBe(serial(a)), soon);
  expect(await seen('other.test')).toBe(own);
  expect((await metrics.certificates.get()).values[0]?.value).toBe(1);
  expect((await metrics.certificateExpiry.get()).values[0]?.value).toBeLessThanOrEqual(a.notAfter.getTime() / 1000);

  const next = await made('a.test');
  expect(await put(next)).toBe(true);
  expect(await put(next)).toBe(false);
  await vi.waitFor(async () => expect(await seen('a.test')).toBe(serial(next)), soon);

  expect(await removeCertificate(database.db, next.owner)).toBe(true);
  expect(await removeCertificate(database.db, next.owner)).toBe(false);
  await vi.waitFor(async () => expect(await seen('a.test')).toBe(own), soon);
});

test('what is there at the start is shown from the first connection on; a default takes those without a name', async () => {
  const a = await made('a.test');
  const standard = await made('mx.test', { isDefault: true });
  await put(a);
  await put(standard);
  await serve();
  expect(await seen('a.test')).toBe(serial(a));
  expect(await seen('')).toBe(serial(standard));
  expect(await seen('other.test')).toBe(serial(standard));
});

test('what can’t be used does not take the place of what can', async () => {
  await serve();
  const good = await made('a.test');
  await put(good);
  await vi.waitFor(async () => expect(await seen('a.test')).toBe(serial(good)), soon);
  const other = await made('a.test');
  const marker = await made('marker.test');
  const years = 3 * 365 * 24 * 3600 * 1000;
  const broken: readonly StoredCertificate[] = [
    { ...other, material: { ...other.material, privateKey: good.material.privateKey } },
    { ...other, material: { ...other.material, certificate: 'nonsense' } },
    await made('a.test', {}, new Date(Date.now() - years)),
    { ...(await made('b.test')), owner: good.owner, names: ['a.test'] },
  ];
  for (const [i, each] of broken.entries()) {
    await put(each);
    // Seen after it, so it was looked at.
    const after = await made(`marker${i}.test`, { owner: marker.owner });
    await put(after);
    await vi.waitFor(async () => expect(await seen(`marker${i}.test`)).toBe(serial(after)), soon);
    expect(await seen('a.test')).toBe(serial(good));
  }
  await database.db
    .updateTable('certificate')
    .set({ seal_key_id: 'gone', version: 99 })
    .where('owner', '=', good.owner)
    .execute();
  await put({ ...marker });
  await vi.waitFor(async () => expect(await seen('marker.test')).toBe(serial(marker)), soon);
  expect(await seen('a.test')).toBe(serial(good));
});

test('a change that nobody told of is found by looking', async () => {
  await serve({ sweepMs: 100 });
  const a = await made('a.test');
  await database.db.transaction().execute(async (tx) => {
    await sql`alter table certificate disable trigger user`.execute(tx);
    await putCertificate(tx, keyring, a);
    await sql`alter table certificate enable trigger user`.execute(tx);
  });
  await vi.waitFor(async () => expect(await seen('a.test')).toBe(serial(a)), soon);
});
