/**
 * The file behind a message that is too large for memory. It loses its name as soon as it is open, so a
 * process that dies leaves nothing behind: the disk gets its space back when the last handle closes.
 */
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, open, readdir, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import path from 'node:path';

const namePattern = /^message-[0-9a-f]{24}\.spool$/;

/** Bytes of one read, and of one chunk given out. */
export const readChunkBytes = 256 * 1024;

/** Makes the directory (0700) and removes files that a process left which died between making and unnaming one. */
export async function prepareSpoolDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await chmod(directory, 0o700);
  for (const name of await readdir(directory)) {
    if (namePattern.test(name)) await rm(path.join(directory, name), { force: true });
  }
}

/** An unnamed file (0600) in `directory`, for writing at the end and reading anywhere. */
export class SpoolFile implements AsyncDisposable {
  readonly #handle: FileHandle;
  readonly #onBytes: (change: number) => void;
  #size = 0;

  private constructor(handle: FileHandle, onBytes: (change: number) => void) {
    this.#handle = handle;
    this.#onBytes = onBytes;
  }

  /** `onBytes` hears by how much the space taken on the disk changes. */
  static async create(directory: string, onBytes: (change: number) => void): Promise<SpoolFile> {
    const name = path.join(directory, `message-${randomBytes(12).toString('hex')}.spool`);
    const handle = await open(name, 'wx+', 0o600);
    try {
      // Another process that starts at this moment may have removed it already.
      await rm(name, { force: true });
    } catch (error) {
      await handle.close();
      throw error;
    }
    return new SpoolFile(handle, onBytes);
  }

  /** Appends `chunks`, which are `bytes` long together. One call at a time. */
  async append(chunks: readonly Uint8Array[], bytes: number): Promise<void> {
    const { bytesWritten } = await this.#handle.writev(chunks, this.#size);
    this.#grow(bytesWritten);
    if (bytesWritten === bytes) return;
    // A short write: the disk is nearly full. Going on says which error it is.
    let rest = Buffer.concat(chunks).subarray(bytesWritten);
    while (rest.length > 0) {
      const written = (await this.#handle.write(rest, 0, rest.length, this.#size)).bytesWritten;
      this.#grow(written);
      rest = rest.subarray(written);
    }
  }

  #grow(bytes: number): void {
    this.#size += bytes;
    this.#onBytes(bytes);
  }

  async *read(start: number, end: number): AsyncGenerator<Buffer, void, void> {
    for (let at = start; at < end;) {
      const chunk = Buffer.allocUnsafe(Math.min(readChunkBytes, end - at));
      const { bytesRead } = await this.#handle.read(chunk, 0, chunk.length, at);
      if (bytesRead === 0) throw new Error(`spool file ends at ${at}, wanted up to ${end}`);
      at += bytesRead;
      yield chunk.subarray(0, bytesRead);
    }
  }

  /** Never rejects: nobody wants the bytes any more, and what was done with them must not look undone. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#onBytes(-this.#size);
    this.#size = 0;
    await this.#handle.close().catch(() => undefined);
  }
}
