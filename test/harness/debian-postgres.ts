/** A Postgres 15 from Debian's package, the oldest that is supported, in a temporary folder. */
import { spawn } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { unprivilegedIds } from '#server/embedded/postgres-binaries.ts';

const programs = '/usr/lib/postgresql/15/bin';

export async function startDebianPostgres(): Promise<{ readonly url: string } & AsyncDisposable> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'postrider-pg15-'));
  const cluster = path.join(folder, 'cluster');
  await mkdir(cluster, { mode: 0o700 });
  await chmod(folder, 0o755);
  const ids = await unprivilegedIds();
  if (ids) for (const one of [folder, cluster]) await chown(one, ids.uid, ids.gid);
  const initdb = ['-D', cluster, '-U', 'postrider', '--auth=trust', '--encoding=UTF8', '--locale=C', '-N'];
  await ended(spawn(`${programs}/initdb`, initdb, { stdio: 'ignore', cwd: '/', ...ids }));
  const settings = ['listen_addresses=', `unix_socket_directories=${folder}`, 'fsync=off'];
  const args = ['-D', cluster, ...settings.flatMap((setting) => ['-c', setting])];
  const server = spawn(`${programs}/postgres`, args, { stdio: 'ignore', cwd: '/', ...ids });
  const url = `postgresql://postrider@localhost/postgres?host=${encodeURIComponent(folder)}`;
  await answering(url);
  return {
    url,
    async [Symbol.asyncDispose]() {
      server.kill('SIGINT');
      await ended(server);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function ended(child: ReturnType<typeof spawn>): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', () => resolve());
  });
}

async function answering(url: string): Promise<void> {
  for (const deadline = performance.now() + 30_000; ; await sleep(50)) {
    const client = new pg.Client({ connectionString: url });
    try {
      await client.connect();
      await client.end();
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
  }
}
