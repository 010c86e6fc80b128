/**
 * Takes a message's bytes from a peer: in memory while it is small and there is room, else in a file. On the
 * way the bytes are hashed and indexed, so nothing reads them again before they are stored. What is too big
 * is counted and dropped, so the session stays in step with its peer.
 * It knows neither protocol nor store.
 */
import { createHash } from 'node:crypto';
import { MailError } from '#server/mail/mail-error.ts';
import type { SpooledMessage } from '#server/mail/ports.ts';
import type { MessageIndex } from '#server/mime/part.ts';
import type { BlobHash } from '#shared/base/ids.ts';
import { maxMessageBytesInMemory } from '#shared/base/limits.ts';
import { prepareSpoolDirectory, readChunkBytes, SpoolFile } from './spool-file.ts';

/** Indexes a message while it arrives. `push` may keep no reference to the chunk. */
export interface MessageIndexer {
  push(chunk: Uint8Array): void;
  finish(): MessageIndex;
}

export type SpoolAreaOptions = {
  /** For large messages; made if it isn't there, 0700. Several processes may share it. */
  readonly directory: string;
  /** Bytes of all messages in memory in this process; when they are used up, small messages go to files too. */
  readonly maxMemoryBytes: number;
  readonly createIndexer: () => MessageIndexer;
  /** Hears by how many bytes the files of all messages grew or shrank. */
  readonly onFileBytes?: (change: number) => void;
};

/** Bytes that wait in memory before one write to the file. */
const writeBehindBytes = 64 * 1024;

/**
 * So many chunks are made one when they are small: a peer that sends single bytes would otherwise cost a hundred times
 * the memory that is counted.
 */
const joinedChunks = 256;
const smallChunkBytes = 1024;

/** All spools of a process: their directory and the memory they share. */
export class SpoolArea {
  readonly #options: SpoolAreaOptions;
  #memoryUsed = 0;

  private constructor(options: SpoolAreaOptions) {
    this.#options = options;
  }

  static async open(options: SpoolAreaOptions): Promise<SpoolArea> {
    await prepareSpoolDirectory(options.directory);
    return new SpoolArea(options);
  }

  /** A spool for one message of at most `maxBytes`. */
  createSpool(maxBytes: number): Spool {
    return new Spool(this, this.#options.createIndexer(), maxBytes);
  }

  /** Bytes of messages held in memory now. */
  get memoryUsed(): number {
    return this.#memoryUsed;
  }

  /** For Spool: false means that the memory is used up. */
  takeMemory(bytes: number): boolean {
    if (this.#memoryUsed + bytes > this.#options.maxMemoryBytes) return false;
    this.#memoryUsed += bytes;
    return true;
  }

  giveMemoryBack(bytes: number): void {
    this.#memoryUsed -= bytes;
  }

  createFile(): Promise<SpoolFile> {
    return SpoolFile.create(this.#options.directory, this.#options.onFileBytes ?? (() => undefined));
  }
}

/**
 * One message on its way in. `write` everything, one call at a time, then `finish`; dispose in any case (after
 * `finish` the message owns the bytes and disposing of the spool does nothing).
 */
export class Spool implements AsyncDisposable {
  readonly #area: SpoolArea;
  readonly #indexer: MessageIndexer;
  readonly #maxBytes: number;
  readonly #hash = createHash('sha256');
  #size = 0;
  /** Not yet in the file; all of the message while there is none. */
  #chunks: Buffer[] = [];
  #chunkBytes = 0;
  /** The last of `#chunks`, as they came. */
  #looseChunks = 0;
  #looseBytes = 0;
  #memoryTaken = 0;
  #file: SpoolFile | null = null;
  /** The running write to the file, or the last one. */
  #flushing: Promise<void> | null = null;
  #failure: unknown = null;

  constructor(area: SpoolArea, indexer: MessageIndexer, maxBytes: number) {
    this.#area = area;
    this.#indexer = indexer;
    this.#maxBytes = maxBytes;
  }

  /** Bytes written so far, the dropped ones too. */
  get size(): number {
    return this.#size;
  }

  /** More than `maxBytes` were written. */
  get isTooBig(): boolean {
    return this.#size > this.#maxBytes;
  }

  /**
   * Takes a chunk and keeps a reference to it. Never rejects: what goes wrong is told by `finish`, and further chunks
   * are dropped, so that the caller can read on to the end of the message. Null: taken at once.
   */
  write(chunk: Buffer): Promise<void> | null {
    this.#size += chunk.length;
    if (this.#failure !== null) return null;
    if (this.isTooBig) return this.#fail(new MailError({ kind: 'too-big', limitBytes: this.#maxBytes }));
    this.#hash.update(chunk);
    this.#indexer.push(chunk);
    this.#keep(chunk);
    if (this.#file !== null) return this.#chunkBytes < writeBehindBytes ? null : this.#flush();
    if (this.#size <= maxMessageBytesInMemory && this.#area.takeMemory(chunk.length)) {
      this.#memoryTaken += chunk.length;
      return null;
    }
    return this.#flush();
  }

  #keep(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#chunkBytes += chunk.length;
    this.#looseChunks += 1;
    this.#looseBytes += chunk.length;
    if (this.#looseChunks < joinedChunks) return;
    if (this.#looseBytes < joinedChunks * smallChunkBytes) {
      this.#chunks.push(Buffer.concat(this.#chunks.splice(-joinedChunks)));
    }
    this.#looseChunks = 0;
    this.#looseBytes = 0;
  }

  /** Refuses with too-big or storage-full; other errors of the disk are thrown as they are. */
  async finish(): Promise<SpooledMessage> {
    if (this.#file !== null && this.#failure === null) await this.#flush();
    if (this.#failure !== null) throw this.#failure;
    const { index, hash } = { index: this.#indexer.finish(), hash: this.#hash.digest('hex') as BlobHash };
    const file = this.#file;
    if (file === null) {
      const bytes = this.#chunks.length === 1 && this.#chunks[0] ? this.#chunks[0] : Buffer.concat(this.#chunks);
      const taken = this.#memoryTaken;
      this.#disown();
      return new MessageInMemory(bytes, hash, index, () => this.#area.giveMemoryBack(taken));
    }
    this.#disown();
    return new MessageInFile(file, this.#size, hash, index);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#failure ??= new Error('the spool is disposed of');
    // Whose peer is gone doesn't wait for its last write, and that may only now be opening the file.
    await this.#flushing;
    await this.#release();
  }

  async #release(): Promise<void> {
    this.#area.giveMemoryBack(this.#memoryTaken);
    const file = this.#file;
    this.#disown();
    await file?.[Symbol.asyncDispose]();
  }

  #disown(): void {
    this.#forgetChunks();
    this.#memoryTaken = 0;
    this.#file = null;
  }

  #forgetChunks(): void {
    this.#chunks = [];
    this.#chunkBytes = 0;
    this.#looseChunks = 0;
    this.#looseBytes = 0;
  }

  #flush(): Promise<void> {
    this.#flushing = this.#writeOut();
    return this.#flushing;
  }

  async #writeOut(): Promise<void> {
    try {
      this.#file ??= await this.#area.createFile();
      if (this.#chunkBytes > 0) await this.#file.append(this.#chunks, this.#chunkBytes);
    } catch (error) {
      await this.#fail(asMailError(error));
      return;
    }
    this.#forgetChunks();
    this.#area.giveMemoryBack(this.#memoryTaken);
    this.#memoryTaken = 0;
  }

  async #fail(failure: unknown): Promise<void> {
    this.#failure ??= failure;
    await this.#release();
  }
}

class MessageInMemory implements SpooledMessage {
  readonly size: number;
  readonly hash: BlobHash;
  readonly index: MessageIndex;
  readonly inMemory: Buffer;
  #release: (() => void) | null;

  constructor(bytes: Buffer, hash: BlobHash, index: MessageIndex, release: () => void) {
    this.size = bytes.length;
    this.hash = hash;
    this.index = index;
    this.inMemory = bytes;
    this.#release = release;
  }

  async *read(start: number, end: number): AsyncGenerator<Buffer, void, void> {
    for (let at = start; at < end; at += readChunkBytes) {
      yield this.inMemory.subarray(at, Math.min(end, at + readChunkBytes));
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#release?.();
    this.#release = null;
    return Promise.resolve();
  }
}

class MessageInFile implements SpooledMessage {
  readonly size: number;
  readonly hash: BlobHash;
  readonly index: MessageIndex;
  readonly inMemory = null;
  readonly #file: SpoolFile;

  constructor(file: SpoolFile, size: number, hash: BlobHash, index: MessageIndex) {
    this.size = size;
    this.hash = hash;
    this.index = index;
    this.#file = file;
  }

  read(start: number, end: number): AsyncIterable<Buffer> {
    return this.#file.read(start, end);
  }

  [Symbol.asyncDispose](): Promise<void> {
    // FileHandle.close may be called again.
    return this.#file[Symbol.asyncDispose]();
  }
}

/** Full disks and quotas are refusals; out of file handles passes soon. */
function asMailError(error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : null;
  if (code === 'ENOSPC' || code === 'EDQUOT') return new MailError({ kind: 'storage-full' }, { cause: error });
  if (code === 'EMFILE' || code === 'ENFILE') return new MailError({ kind: 'unavailable' }, { cause: error });
  return error;
}
