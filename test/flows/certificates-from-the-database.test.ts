/** What the operator puts into the database is what clients of the real program see, on every listener and process. */
import { X509Certificate } from 'node:crypto';
import path from 'node:path';
import tls from 'node:tls';
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { createDatabase, type PostgresDatabase } from '#shared/db/client.ts';
import { putCertificate } from '#shared/directory/certificates.ts';
import { openKeyring } from '#shared/directory/keyring.ts';
import { makeAuthority } from '../harness/certificates.ts';
import { startService, type Service } from '../harness/service.ts';

const soon = { timeout: 10_000, interval: 50 };
let stack = new AsyncDisposableStack();
afterEach(async () => {
  await stack.disposeAsync();
  stack = new AsyncDisposableStack();
});

/** Names in the certificate that a client sees who asks for `servername`, over TLS from the first byte. */
async function seen(port: number, servername: string): Promise<string | undefined> {
  const socket = tls.connect({ host: '127.0.0.1', port, servername, rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  const { subjectaltname } = socket.getPeerCertificate();
  socket.destroy();
  return subjectaltname;
}

/** The same after STARTTLS, in SMTP's words or IMAP's. */
async function seenAfterStartTls(port: number, servername: string, commands: readonly string[]) {
  const plain = connect(port, '127.0.0.1');
  await once(plain, 'data');
  for (const command of commands) {
    plain.write(`${command}\r\n`);
    await once(plain, 'data');
  }
  const socket = tls.connect({ socket: plain, servername, rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  const { subjectaltname } = socket.getPeerCertificate();
  socket.destroy();
  return subjectaltname;
}

async function putFor(service: Service, database: PostgresDatabase, names: readonly string[], isDefault: boolean) {
  const keyring = await openKeyring(path.join(service.dataDirectory, 'keyring'), 'refuse');
  const authority = await makeAuthority('Somebody');
  const { cert, key } = await authority.issue(names);
  await putCertificate(database.db, keyring, {
    owner: `MailDomain/${names[0]}`,
    resourceName: 'mail/x',
    source: 'secret',
    names,
    isDefault,
    notAfter: new X509Certificate(cert).validToDate,
    material: { certificate: cert, privateKey: key },
  });
}

describe.each([1, 2])('with PROCESSES=%i', (processes) => {
  test('certificates of the database are shown by name and by default, on each listener', async () => {
    const service = stack.use(await startService({ env: { PROCESSES: String(processes) } }));
    const database = stack.use(createDatabase({ url: service.databaseUrl, maxConnections: 2 }));
    const { imapTls, submissionTls, smtp, imap } = service.ports;
    await putFor(service, database, ['mail.a.test'], false);
    await putFor(service, database, ['mx.server.test'], true);
    const all = async (): Promise<readonly (string | undefined)[]> => [
      await seen(imapTls, 'mail.a.test'),
      await seen(submissionTls, 'mail.a.test'),
      await seenAfterStartTls(smtp, 'mail.a.test', ['EHLO c.test', 'STARTTLS']),
      await seenAfterStartTls(imap, 'mail.a.test', ['a STARTTLS']),
    ];
    await vi.waitFor(async () => {
      // Connections go to the processes in turn.
      for (let i = 0; i < processes; i++)
        expect(await all()).toEqual(Array.from({ length: 4 }, () => 'DNS:mail.a.test'));
      expect(await seen(imapTls, '')).toBe('DNS:mx.server.test');
      expect(await seen(imapTls, 'other.test')).toBe('DNS:mx.server.test');
    }, soon);
  });
});
