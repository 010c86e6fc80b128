/** The real program as a child process, on a database of its own, with two users, as an administrator would run it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createTransport } from 'nodemailer';
import { createTestDatabase } from './database.ts';
import { freePorts } from './ports.ts';

export type ServicePorts = {
  readonly smtp: number;
  readonly submission: number;
  readonly submissionTls: number;
  readonly imap: number;
  readonly imapTls: number;
  readonly http: number;
};

export type User = { readonly address: string; readonly password: string };

export type ServiceOptions = {
  /** A database of the caller's; without it a fresh one. */
  readonly databaseUrl?: string;
  /** Settings of docs/configuration.md, by name. */
  readonly env?: Readonly<Record<string, string>>;
  /** Further manifests, YAML. */
  readonly manifests?: string;
  /** Where the keyring, the certificate and the spool lie; a service that is killed and started again keeps it. */
  readonly dataDirectory?: string;
  readonly ports?: ServicePorts;
};

export interface Service extends AsyncDisposable {
  readonly ports: ServicePorts;
  readonly users: { readonly alice: User; readonly bob: User };
  /** Leads to both users. */
  readonly aliasAddress: string;
  readonly certificateFile: string;
  readonly databaseUrl: string;
  readonly dataDirectory: string;
  readonly process: ChildProcess;
  /** What it has logged so far. */
  log(): string;
  /** Sends one message over port 25; rejects unless it was answered 250. */
  deliver(to: string | readonly string[], message: string | Buffer): Promise<void>;
  /** SIGTERM, then waits for the end; resolves with the exit code. */
  stop(): Promise<number | null>;
}

export const users = {
  alice: { address: 'alice@example.test', password: 'correct horse battery' },
  bob: { address: 'bob@example.test', password: 'staple of the tests' },
} as const;

const baseManifests = `
apiVersion: postrider.dev/v1alpha1
kind: MailDomain
metadata: {name: example-test}
spec: {domain: example.test}
---
apiVersion: v1
kind: Secret
metadata: {name: alice-password}
stringData: {password: ${users.alice.password}}
---
apiVersion: postrider.dev/v1alpha1
kind: Mailbox
metadata: {name: alice}
spec: {address: ${users.alice.address}, password: {mode: SecretRef, secretRef: {name: alice-password}}}
---
apiVersion: v1
kind: Secret
metadata: {name: bob-password}
stringData: {password: ${users.bob.password}}
---
apiVersion: postrider.dev/v1alpha1
kind: Mailbox
metadata: {name: bob}
spec: {address: ${users.bob.address}, password: {mode: SecretRef, secretRef: {name: bob-password}}}
---
apiVersion: postrider.dev/v1alpha1
kind: MailAlias
metadata: {name: team}
spec: {address: team@example.test, members: [${users.alice.address}, ${users.bob.address}]}
`;

const readyTimeoutMs = 90_000;

export async function startService(options: ServiceOptions = {}): Promise<Service> {
  const database = options.databaseUrl ? null : await createTestDatabase();
  const databaseUrl = options.databaseUrl ?? (database as { url: string }).url;
  const folder = await mkdtemp(path.join(os.tmpdir(), 'postrider-service-'));
  const dataDirectory = options.dataDirectory ?? path.join(folder, 'data');
  const manifestsDirectory = path.join(folder, 'manifests');
  await mkdir(manifestsDirectory);
  await writeFile(path.join(manifestsDirectory, 'base.yaml'), baseManifests);
  if (options.manifests) await writeFile(path.join(manifestsDirectory, 'more.yaml'), options.manifests);
  const ports = options.ports ?? (await chosenPorts());
  const child = spawn(process.execPath, ['cli/postrider.ts', 'run', '--local'], {
    env: { ...settingsOf({ databaseUrl, dataDirectory, manifestsDirectory, ports }), ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let logged = '';
  const hear = (chunk: Buffer): void => {
    logged += chunk.toString();
  };
  child.stdout.on('data', hear);
  child.stderr.on('data', hear);
  const ended = new Promise<number | null>((resolve) => {
    child.once('close', resolve);
  });
  await waitUntilReady(ports.http, child, () => logged);
  return {
    ports,
    users,
    aliasAddress: 'team@example.test',
    certificateFile: path.join(dataDirectory, 'tls', 'self-signed.crt'),
    databaseUrl,
    dataDirectory,
    process: child,
    log: () => logged,
    deliver: (to, message) => deliver(ports.smtp, to, message),
    stop() {
      child.kill('SIGTERM');
      return ended;
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      await ended;
      await database?.[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export async function chosenPorts(): Promise<ServicePorts> {
  const [smtp, submission, submissionTls, imap, imapTls, http] = (await freePorts(6)) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  return { smtp, submission, submissionTls, imap, imapTls, http };
}

function settingsOf(o: {
  databaseUrl: string;
  dataDirectory: string;
  manifestsDirectory: string;
  ports: ServicePorts;
}): Record<string, string> {
  return {
    PATH: process.env['PATH'] ?? '',
    DATABASE_URL: o.databaseUrl,
    DATA_DIR: o.dataDirectory,
    MANIFESTS_DIR: o.manifestsDirectory,
    SMTP_RECEIVE_PORT: String(o.ports.smtp),
    SUBMISSION_PORT: String(o.ports.submission),
    SMTP_RECEIVE_SSL_PORT: String(o.ports.submissionTls),
    IMAP_PORT: String(o.ports.imap),
    IMAP_SSL_PORT: String(o.ports.imapTls),
    HTTP_PORT: String(o.ports.http),
    DATABASE_POOL_SIZE: '10',
  };
}

/** Rejects with what it logged when it ends, or is not ready in time. */
export async function waitUntilReady(port: number, child: ChildProcess, log: () => string): Promise<void> {
  const deadline = performance.now() + readyTimeoutMs;
  for (;;) {
    const status = await fetch(`http://127.0.0.1:${port}/readyz`).then(
      async (response) => {
        await response.arrayBuffer();
        return response.status;
      },
      () => 0, // Not listening yet.
    );
    if (status === 200) return;
    if (child.exitCode !== null || performance.now() > deadline) {
      child.kill('SIGKILL');
      throw new Error(`the program is not ready (exit code ${child.exitCode}):\n${log()}`);
    }
    await sleep(50);
  }
}

async function deliver(port: number, to: string | readonly string[], message: string | Buffer): Promise<void> {
  const transport = createTransport({ host: '127.0.0.1', port, ignoreTLS: true });
  await transport.sendMail({ envelope: { from: 'sender@outside.test', to: [to].flat() }, raw: message });
  transport.close();
}
