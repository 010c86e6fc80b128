/**
 * A Postgres of our own for a laptop: real, durable (fsync on), reached over a Unix socket in a folder that
 * only its user and root can enter. It runs in a session of its own, so that Ctrl-C reaches us and not it;
 * one that outlived a killed program is taken over.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, open, readFile, stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { ProgramFault } from '#shared/base/program-fault.ts';
import type { Logger } from '#shared/observe/logger.ts';
import { isFolderLocked, lockDataFolder } from './data-lock.ts';
import { asUnprivileged, findPostgresBinaries, giveFolder, unprivilegedIds } from './postgres-binaries.ts';
import { Postmaster } from './postmaster.ts';
import type { Invocation, PostgresBinaries } from './postgres-binaries.ts';

export type EmbeddedPostgresOptions = {
  /** Data folder of the program; the cluster lies in `postgres` below it. */
  readonly directory: string;
  readonly logger: Logger;
  /** Settings on top of ours, by name. */
  readonly settings?: Readonly<Record<string, string>>;
};

export interface EmbeddedPostgres extends AsyncDisposable {
  /** Connection string of the database `postrider`. */
  readonly url: string;
  /** The postmaster's process; another one after a crash. */
  readonly pid: number;
}

const database = 'postrider';
/** A socket's path may have 107 bytes on Linux and 103 on macOS; Postgres adds `/.s.PGSQL.5432.lock`. */
const maxSocketFolderBytes = 80;
const startTimeoutMs = 60_000;

/** Large enough that checkpoints do not come in the middle of a burst. */
const ourSettings: Readonly<Record<string, string>> = {
  listen_addresses: '',
  max_connections: '200',
  shared_buffers: '256MB',
  max_wal_size: '4GB',
  checkpoint_timeout: '15min',
  wal_compression: 'off',
  log_timezone: 'UTC',
  timezone: 'UTC',
};

/**
 * Starts the cluster in `directory`, making it first where there is none, and resolves when it answers.
 * ProgramFault 78 or 69 with what to do when it can't. Disposing stops it (fast shutdown, 60 s at most).
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { logger } = options;
  const directory = path.resolve(options.directory);
  const cluster = path.join(directory, 'postgres');
  const binaries = await findPostgresBinaries();
  const ids = await unprivilegedIds();
  await mkdir(directory, { recursive: true, mode: 0o755 });
  const socketFolder = await makeSocketFolder(directory, ids);
  const lock = await lockDataFolder(lockIn(socketFolder), directory);
  try {
    await makeCluster({ cluster, binaries, ids, logger });
    const start = (): Promise<number> =>
      startPostmaster({ cluster, socketFolder, binaries, ids, settings: options.settings ?? {} });
    const running = await runningPostmaster(cluster, socketFolder);
    if (running !== null) logger.warn({ pid: running }, 'embedded Postgres was still running; taking it over');
    const postmaster = new Postmaster(running ?? (await start()), start, logger);
    await createDatabase(socketFolder);
    return {
      url: connectionString(socketFolder, database),
      get pid() {
        return postmaster.pid;
      },
      async [Symbol.asyncDispose]() {
        await postmaster.stop();
        await lock[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await lock[Symbol.asyncDispose]();
    throw error;
  }
}

/**
 * The Postgres that another program has running in `directory`, for a command beside it; it ends when that program says
 * so. Null: no program is there, or its Postgres does not answer.
 */
export async function findEmbeddedPostgres(directory: string): Promise<{ readonly url: string } | null> {
  const socketFolder = socketFolderOf(path.resolve(directory));
  const isThere = (await isFolderLocked(lockIn(socketFolder))) && (await tryConnect(socketFolder)) === null;
  return isThere ? { url: connectionString(socketFolder, database) } : null;
}

type Ids = { readonly uid: number; readonly gid: number } | null;

function connectionString(socketFolder: string, name: string): string {
  return `postgresql://postrider@localhost/${name}?host=${encodeURIComponent(socketFolder)}`;
}

/** `run` in the data folder, or where that path is too long for a socket, a folder of ours in the system's temporary one. */
function socketFolderOf(directory: string): string {
  const inside = path.join(directory, 'run');
  if (Buffer.byteLength(inside) <= maxSocketFolderBytes) return inside;
  return path.join(os.tmpdir(), `postrider-${createHash('sha256').update(directory).digest('hex').slice(0, 12)}`);
}

function lockIn(socketFolder: string): string {
  return path.join(socketFolder, 'lock');
}

async function makeSocketFolder(directory: string, ids: Ids): Promise<string> {
  const folder = socketFolderOf(directory);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const { uid } = await stat(folder);
  const own = process.getuid?.() ?? uid;
  if (uid !== own && uid !== ids?.uid) {
    throw new ProgramFault(
      78,
      `the folder ${folder} belongs to another user`,
      'remove it, or set DATA_DIR to a shorter path',
    );
  }
  await chmod(folder, 0o700);
  if (ids) await chown(folder, ids.uid, ids.gid);
  return folder;
}

async function makeCluster(o: {
  cluster: string;
  binaries: PostgresBinaries;
  ids: Ids;
  logger: Logger;
}): Promise<void> {
  const versionFile = path.join(o.cluster, 'PG_VERSION');
  await mkdir(o.cluster, { recursive: true, mode: 0o700 });
  await giveFolder(o.cluster, o.ids);
  if (existsSync(versionFile)) {
    const found = (await readFile(versionFile, 'utf8')).trim();
    if (found !== '18') {
      throw new ProgramFault(
        78,
        `${o.cluster} was made by Postgres ${found}, the embedded one is 18`,
        'dump it with that Postgres and restore it into a new data folder',
      );
    }
    return;
  }
  o.logger.info({ cluster: o.cluster }, 'making the database cluster');
  const args = [
    '-D',
    o.cluster,
    '-U',
    'postrider',
    '--auth=trust',
    '--encoding=UTF8',
    '--locale=C',
    '--no-instructions',
  ];
  const invocation = await asUnprivileged(o.binaries.initdb, args, o.ids, [o.cluster]);
  const { code, output } = await run(invocation);
  if (code !== 0) {
    throw new ProgramFault(
      69,
      `initdb failed: ${output.trim().split('\n').at(-1)}`,
      `see that ${o.cluster} is empty and its disk has room`,
    );
  }
}

function run({ file, args, ids }: Invocation): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], cwd: '/', ...ids });
    let output = '';
    const hear = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-10_000);
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, output }));
  });
}

/** The postmaster of this cluster when it lives and answers on our socket. */
async function runningPostmaster(cluster: string, socketFolder: string): Promise<number | null> {
  const file = path.join(cluster, 'postmaster.pid');
  if (!existsSync(file)) return null;
  const lines = (await readFile(file, 'utf8')).split('\n');
  if (lines[4] !== socketFolder) return null;
  return (await tryConnect(socketFolder)) === null ? Number(lines[0]) : null;
}

async function startPostmaster(o: {
  cluster: string;
  socketFolder: string;
  binaries: PostgresBinaries;
  ids: Ids;
  settings: Readonly<Record<string, string>>;
}): Promise<number> {
  const settings = { ...ourSettings, unix_socket_directories: o.socketFolder, ...o.settings };
  const args = ['-D', o.cluster, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])];
  const { file, args: all, ids } = await asUnprivileged(o.binaries.postgres, args, o.ids, [o.cluster, o.socketFolder]);
  const logPath = path.join(path.dirname(o.cluster), 'postgres.log');
  await using log = await open(logPath, 'a', 0o600);
  const child = spawn(file, all, { detached: true, stdio: ['ignore', log.fd, log.fd], cwd: '/', ...ids });
  let ended: string | null = null;
  child.once('error', (error) => (ended = error.message));
  child.once('exit', (code, signal) => (ended = `it ended with ${code ?? signal}`));
  child.unref();
  const deadline = performance.now() + startTimeoutMs;
  for (;;) {
    const refused = await tryConnect(o.socketFolder);
    if (refused === null) return child.pid as number;
    if (ended !== null || performance.now() > deadline) {
      throw new ProgramFault(
        69,
        `the embedded Postgres does not start: ${ended ?? refused}`,
        `read ${logPath}; or set DATABASE_URL to a Postgres of your own`,
      );
    }
    await sleep(20);
  }
}

/** Null when a connection could be made, else why not. */
async function tryConnect(socketFolder: string): Promise<string | null> {
  const client = new pg.Client({
    connectionString: connectionString(socketFolder, 'postgres'),
    connectionTimeoutMillis: 5000,
  });
  try {
    await client.connect();
    await client.end();
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function createDatabase(socketFolder: string): Promise<void> {
  const client = new pg.Client({ connectionString: connectionString(socketFolder, 'postgres') });
  await client.connect();
  try {
    const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [database]);
    if (rowCount === 0) await client.query(`create database ${database}`);
  } finally {
    await client.end();
  }
}
