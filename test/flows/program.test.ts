/** The program as its user meets it on the command line: what it prints, and how it ends. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../harness/database.ts';
import { chosenPorts } from '../harness/service.ts';

let database: TestDatabase;
let folder: string;
let manifests: string;

beforeAll(async () => {
  database = await createTestDatabase();
  folder = await mkdtemp(path.join(os.tmpdir(), 'postrider-program-'));
  manifests = path.join(folder, 'manifests');
  await mkdir(manifests);
  await writeFile(path.join(manifests, 'domain.yaml'), domainManifest);
});
afterAll(async () => {
  await database[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const domainManifest = `
apiVersion: postrider.dev/v1alpha1
kind: MailDomain
metadata: {name: example-test}
spec: {domain: example.test}
`;

/** Runs `postrider` with nothing in its environment but what is given; ends it with SIGTERM when it says it is ready. */
async function postrider(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const child = spawn(process.execPath, ['cli/postrider.ts', ...args], { env: { PATH: process.env['PATH'], ...env } });
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => {
    output.stdout += chunk.toString();
    // Once: a second signal would end it without a stop.
    if (output.stdout.includes('"server.ready"') && !child.killed) child.kill('SIGTERM');
  });
  child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...output };
}

async function localEnv(): Promise<Record<string, string>> {
  const ports = await chosenPorts();
  return {
    DATABASE_URL: database.url,
    DATA_DIR: path.join(folder, 'data'),
    MANIFESTS_DIR: manifests,
    SMTP_RECEIVE_PORT: String(ports.smtp),
    SUBMISSION_PORT: String(ports.submission),
    SMTP_RECEIVE_SSL_PORT: String(ports.submissionTls),
    IMAP_PORT: String(ports.imap),
    IMAP_SSL_PORT: String(ports.imapTls),
    HTTP_PORT: String(ports.http),
  };
}

describe('the command line', () => {
  test('an unknown command ends with 64 and the list of commands', async () => {
    const { code, stderr } = await postrider(['serve']);
    expect(code).toBe(64);
    expect(stderr).toContain('there is no command "serve"');
    for (const name of ['run', 'config', 'migrate', 'after-restore', 'check db'])
      expect(stderr).toContain(`postrider ${name} `);
  });

  test('an unknown option ends with 64', async () => {
    expect((await postrider(['run', '--lokal'])).code).toBe(64);
  });

  test('version and help', async () => {
    expect((await postrider(['version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect((await postrider(['help'])).stdout).toContain('docs/configuration.md');
  });

  test('config prints what is in force, where it comes from, and no secret', async () => {
    const file = path.join(folder, 'mail.env');
    await writeFile(file, 'IMAP_PORT=1143\nHTTP_PORT=1080\n');
    const env = { DATABASE_URL: 'postgres://mail:sesame@db/mail', HTTP_PORT: '2080' };
    const { code, stdout } = await postrider(['config', '--config', file], env);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^IMAP_PORT +1143 +IMAP_PORT in .*mail\.env$/m);
    expect(stdout).toMatch(/^HTTP_PORT +2080 +HTTP_PORT$/m);
    expect(stdout).toMatch(/^SMTP_RECEIVE_PORT +25 +default$/m);
    expect(stdout).toMatch(/^DATABASE_URL +postgres:\/\/mail:\*\*\*@db\/mail /m);
    expect(stdout).not.toContain('sesame');
  });

  test('ENVIRONMENT changes the defaults that config prints', async () => {
    const env = { DATABASE_URL: 'postgres://db/mail' };
    const level = async (environment: string) =>
      /^LOG_LEVEL +(\S+)/m.exec((await postrider(['config'], { ...env, ENVIRONMENT: environment })).stdout)?.[1];
    expect([await level('development'), await level('production')]).toEqual(['debug', 'info']);
  });

  test('check db prints the version, the schema and the time of a notification', async () => {
    const { code, stdout } = await postrider(['check', 'db'], { DATABASE_URL: database.url });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Postgres +1[5-9]/m);
    expect(stdout).toMatch(/^extensions +plpgsql/m);
    expect(stdout).toMatch(/^notification heard after \d+ ms$/m);
  });

  test('migrate brings an empty database up to date, once', async () => {
    await using empty = await createTestDatabase({ empty: true });
    expect((await postrider(['migrate'], { DATABASE_URL: empty.url })).stdout).toMatch(/^applied the migrations 1, 2/);
    expect((await postrider(['migrate'], { DATABASE_URL: empty.url })).stdout).toBe('the schema is up to date\n');
  });

  test('after-restore raises the UIDVALIDITY of every mailbox', async () => {
    await postrider(['run', '--local'], await localEnv());
    const { code, stdout } = await postrider(['after-restore'], { DATABASE_URL: database.url });
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^raised the UIDVALIDITY of \d+ mailboxes\n$/)]);
  });

  test('search rebuild drops the search index', async () => {
    const { code, stdout } = await postrider(['search', 'rebuild'], { DATABASE_URL: database.url });
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^dropped the search index of \d+ accounts/)]);
    expect((await postrider(['search'], { DATABASE_URL: database.url })).code).toBe(64);
  });

  test('make-keyring makes a file that only its owner reads, and never overwrites one', async () => {
    const file = path.join(folder, 'made-keyring');
    expect((await postrider(['make-keyring', file])).code).toBe(0);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await postrider(['make-keyring', file])).code).toBe(78);
  });
});

describe('what keeps it from starting is said in one line with what to do', () => {
  test('faults in the configuration: all of them, exit code 78', async () => {
    const { code, stderr, stdout } = await postrider(['run'], {
      IMAP_PORT: 'one',
      POSTRIDER_IMAP_PROT: '2',
      LOG_LEVEL: 'loud',
    });
    expect(code).toBe(78);
    expect(stderr).toContain('the configuration has 3 faults');
    expect(stderr).toContain('POSTRIDER_IMAP_PROT: there is no such setting; write POSTRIDER_IMAP_PORT');
    expect(stdout).toBe('');
  });

  test('a taken port: which, and exit code 78', async () => {
    await using taken = net.createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as net.AddressInfo;
    for (const name of ['IMAP_PORT', 'SMTP_RECEIVE_PORT', 'HTTP_PORT']) {
      const { code, stderr } = await postrider(['run', '--local'], { ...(await localEnv()), [name]: String(port) });
      expect(stderr).toMatch(
        new RegExp(`^postrider: port ${port} on 127\\.0\\.0\\.1 for .* is taken by another program\n.*ss -ltnp`),
      );
      expect(code).toBe(78);
    }
  });

  test('an unreachable database: exit code 69', async () => {
    const env = { ...(await localEnv()), DATABASE_URL: 'postgres://mail:sesame@127.0.0.1:1/mail' };
    const { code, stderr, stdout } = await postrider(['run', '--local'], env);
    expect(code).toBe(69);
    expect(stderr).toMatch(/^postrider: the database can't be reached: .*ECONNREFUSED.*\n.*DATABASE_URL/);
    expect(stdout + stderr).not.toContain('sesame');
  });

  test('a bad manifest: file, place and exit code 78', async () => {
    const bad = path.join(folder, 'bad');
    await mkdir(bad, { recursive: true });
    await writeFile(path.join(bad, 'mailbox.yaml'), domainManifest.replace('domain:', 'domian:'));
    const { code, stderr } = await postrider(['run', '--local'], { ...(await localEnv()), MANIFESTS_DIR: bad });
    expect(stderr).toContain('mailbox.yaml');
    expect(stderr).toContain('domian');
    expect(code).toBe(78);
  });

  test('a missing keyring outside of the local mode: exit code 78', async () => {
    const env = { ...(await localEnv()), DATA_DIR: path.join(folder, 'nowhere') };
    const { code, stderr } = await postrider(['run'], env);
    expect(stderr).toContain(path.join(folder, 'nowhere', 'keyring'));
    expect(code).toBe(78);
  });

  test('outside of the local mode it runs with a keyring that is there, and prints no password', async () => {
    const file = path.join(folder, 'given-keyring');
    await postrider(['make-keyring', file]);
    await using fresh = await createTestDatabase();
    const hosts = { IMAP_HOST: '127.0.0.1', SMTP_RECEIVE_HOST: '127.0.0.1', HTTP_HOST: '127.0.0.1' };
    const env = { ...(await localEnv()), ...hosts, DATABASE_URL: fresh.url, KEYRING_FILE: file, DRAIN_DELAY: '0' };
    const { code, stdout, stderr } = await postrider(['run'], env);
    expect([code, stderr]).toEqual([0, '']);
    for (const line of stdout.trimEnd().split('\n')) {
      // Whether the machine's resolver validates is told as a warning where it does not.
      if (line.includes('"event":"dns.validation"')) continue;
      expect(JSON.parse(line)).toMatchObject({ level: 'info' });
    }
  });

  test('development mode together with production settings: exit code 78', async () => {
    const { code, stderr } = await postrider(['run', '--local'], {
      DEVELOPMENT_MODE: 'true',
      ENVIRONMENT: 'production',
    });
    expect(code).toBe(78);
    expect(stderr).toContain('refused with ENVIRONMENT=production');
  });
});

test('the log level hides lines below it, in any case', async () => {
  const env = await localEnv();
  expect((await postrider(['run', '--local'], { ...env, LOG_LEVEL: 'INFO' })).stdout).toContain('"level":"info"');
  const quiet = await runQuietly({ ...env, LOG_LEVEL: 'Warning' });
  expect(quiet).toContain('Postrider is ready');
  expect(quiet).not.toContain('"level":"info"');
});

/** Until it prints that it is ready, then SIGTERM. */
async function runQuietly(env: Record<string, string>): Promise<string> {
  const child = spawn(process.execPath, ['cli/postrider.ts', 'run', '--local'], {
    env: { PATH: process.env['PATH'], ...env },
  });
  let stdout = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
    if (stdout.includes('Ctrl-C stops') && !child.killed) child.kill('SIGTERM');
  });
  await once(child, 'close');
  return stdout;
}
