/** One program a data folder: a socket that only a living process listens on. */
import { rm } from 'node:fs/promises';
import net from 'node:net';
import { ProgramFault } from '#shared/base/program-fault.ts';

/**
 * Holds the lock at `socketPath` until disposed. The kernel lets go of it when the process dies, however it
 * dies; the file that is left behind is recognised because nobody answers. ProgramFault 78 when it is held.
 */
export async function lockDataFolder(socketPath: string, folder: string): Promise<AsyncDisposable> {
  if (await isFolderLocked(socketPath)) {
    throw new ProgramFault(
      78,
      `another Postrider already runs on the data folder ${folder}`,
      'stop it first, or set DATA_DIR to another folder',
    );
  }
  await rm(socketPath, { force: true });
  const server = net.createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(socketPath, resolve);
  });
  server.unref();
  return {
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
      }),
  };
}

/** Whether a living process holds the lock. */
export function isFolderLocked(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(socketPath);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
