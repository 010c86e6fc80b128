import { randomBytes } from 'node:crypto';
import { link, mkdir, open, rm } from 'node:fs/promises';
import path from 'node:path';

/**
 * Writes a secret to a new file: only its owner reads it, it appears whole or not at all, and it is on the disk when
 * the promise resolves. False: there is a file already, which is left as it is. Makes the folder, for its owner
 * alone, where there is none.
 */
export async function writeNewSecretFile(file: string, text: string): Promise<boolean> {
  const folder = path.dirname(file);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const draft = path.join(folder, `.${path.basename(file)}.${randomBytes(6).toString('hex')}`);
  try {
    await writeAndSync(draft, text);
    await link(draft, file);
    await syncFolder(folder);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

async function writeAndSync(file: string, text: string): Promise<void> {
  await using handle = await open(file, 'wx', 0o600);
  await handle.writeFile(text);
  await handle.sync();
}

/** A new name is lost in a power failure until its folder is written too. */
async function syncFolder(folder: string): Promise<void> {
  await using handle = await open(folder, 'r');
  await handle.sync();
}
