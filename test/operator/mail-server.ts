/** A real server process on the operator's database, as a pod of the cluster runs it: no manifests, no migrations. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import tls from 'node:tls';
import { ImapSession } from '../harness/imap-session.ts';
import { chosenPorts, waitUntilReady, type ServicePorts } from '../harness/service.ts';

export interface MailServerProcess extends AsyncDisposable {
  readonly ports: ServicePorts;
  /** Whether IMAP takes this login. Rejects where the server does not answer. */
  logsIn(address: string, password: string): Promise<boolean>;
}

export async function startMailServer(options: {
  readonly databaseUrl: string;
  readonly keyring: string;
  /** Further settings of docs/configuration.md. */
  readonly env?: Readonly<Record<string, string>>;
}): Promise<MailServerProcess> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'postrider-operated-'));
  const keyringFile = path.join(folder, 'keyring');
  await writeFile(keyringFile, options.keyring, { mode: 0o600 });
  const ports = await chosenPorts();
  const child = spawn(process.execPath, ['cli/postrider.ts', 'run'], {
    env: {
      PATH: process.env['PATH'] ?? '',
      DATABASE_URL: options.databaseUrl,
      DATABASE_POOL_SIZE: '6',
      KEYRING_FILE: keyringFile,
      DATA_DIR: path.join(folder, 'data'),
      MIGRATIONS: 'await',
      MAIL_HOSTNAME: 'localhost',
      IMAP_HOST: '127.0.0.1',
      SMTP_RECEIVE_HOST: '127.0.0.1',
      HTTP_HOST: '127.0.0.1',
      SMTP_RECEIVE_PORT: String(ports.smtp),
      SUBMISSION_PORT: String(ports.submission),
      SMTP_RECEIVE_SSL_PORT: String(ports.submissionTls),
      IMAP_PORT: String(ports.imap),
      IMAP_SSL_PORT: String(ports.imapTls),
      HTTP_PORT: String(ports.http),
      DRAIN_DELAY: '0',
      LOG_LEVEL: 'warn',
      ...options.env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  const hear = (chunk: Buffer): void => void (log += chunk.toString());
  child.stdout.on('data', hear);
  child.stderr.on('data', hear);
  await waitUntilReady(ports.http, child, () => log);
  return {
    ports,
    logsIn: (address, password) => logsIn(ports.imapTls, address, password),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function logsIn(port: number, address: string, password: string): Promise<boolean> {
  // Its certificate is its own, made a moment ago.
  const socket = tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  await using session = new ImapSession(socket, socket, {
    explain: () => '',
    async end() {
      socket.destroy();
    },
  });
  await session.greeting();
  const { tagged } = await session.exchange(`LOGIN "${address}" "${password}"`);
  if (tagged.startsWith('OK')) return true;
  if (/AUTHENTICATIONFAILED/.test(tagged)) return false;
  throw new Error(tagged);
}
