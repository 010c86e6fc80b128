/** MIGRATIONS=await, as in a cluster: a server waits for what `postrider migrate` does, and for the database itself. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { createTestDatabase } from '../harness/database.ts';
import { freePorts } from '../harness/ports.ts';

let folder: string;
let keyring: string;
const children: ChildProcess[] = [];

beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'postrider-await-'));
  keyring = path.join(folder, 'keyring');
  await once(postrider(['make-keyring', keyring], {}).child, 'close');
});
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await rm(folder, { recursive: true, force: true });
});

function postrider(args: readonly string[], env: Readonly<Record<string, string>>) {
  const child = spawn(process.execPath, ['cli/postrider.ts', ...args], { env: { PATH: process.env['PATH'], ...env } });
  children.push(child);
  const output = { text: '' };
  child.stdout.on('data', (chunk: Buffer) => (output.text += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output.text += chunk.toString()));
  return { child, output };
}

async function waitingServer(databaseUrl: string) {
  const [httpPort] = (await freePorts(1)) as [number];
  const { child, output } = postrider(['run'], {
    DATABASE_URL: databaseUrl,
    DATA_DIR: folder,
    KEYRING_FILE: keyring,
    MAIL_HOSTNAME: 'mail.example.test',
    MIGRATIONS: 'await',
    ROLES: 'outbound,janitor',
    DRAIN_DELAY: '0',
    HTTP_HOST: '127.0.0.1',
    HTTP_PORT: String(httpPort),
  });
  const ready = async (): Promise<{ status: number; text: string }> => {
    const response = await fetch(`http://127.0.0.1:${httpPort}/readyz`);
    return { status: response.status, text: await response.text() };
  };
  return { child, output, ready };
}

const patiently = { timeout: 20_000, interval: 100 };

test('a server is not ready until the schema is there, and then it is without a restart', async () => {
  await using database = await createTestDatabase({ empty: true });
  const { child, ready } = await waitingServer(database.url);
  await vi.waitFor(async () => {
    const { status, text } = await ready();
    expect(status).toBe(503);
    expect(text).toContain('lacks the migrations');
  }, patiently);
  const migrating = postrider(['migrate', '--wait'], { DATABASE_URL: database.url });
  const [code] = (await once(migrating.child, 'close')) as [number | null];
  expect(code).toBe(0);
  await vi.waitFor(async () => expect((await ready()).status).toBe(200), patiently);
  child.kill('SIGTERM');
  expect(await once(child, 'close')).toEqual([0, null]);
});

test('a server that waits for its database says so, and stops when asked to', async () => {
  const [nobody] = (await freePorts(1)) as [number];
  const { child, output, ready } = await waitingServer(`postgres://nobody:secret@127.0.0.1:${nobody}/none`);
  await vi.waitFor(async () => expect((await ready()).text).toContain("can't be reached"), patiently);
  child.kill('SIGTERM');
  expect(await once(child, 'close')).toEqual([0, null]);
  expect(output.text).toContain('db.awaited');
  expect(output.text).not.toContain('secret');
});

test('`migrate --wait` waits for a database that does not answer, `migrate` ends with 69', async () => {
  const [nobody] = (await freePorts(1)) as [number];
  const env = { DATABASE_URL: `postgres://nobody:secret@127.0.0.1:${nobody}/none` };
  const waiting = postrider(['migrate', '--wait'], env);
  await vi.waitFor(() => expect(waiting.output.text).toContain("waiting: the database can't be reached"), patiently);
  expect(waiting.child.exitCode).toBeNull();
  waiting.child.kill('SIGTERM');
  expect(await once(postrider(['migrate'], env).child, 'close')).toEqual([69, null]);
});
