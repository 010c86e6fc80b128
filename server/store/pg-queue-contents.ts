/**
 * The bytes of the messages of some batches, read when they are asked for, several messages a query: they are sent one
 * after the other. At most one group is held; a message in pieces is read piece by piece.
 */
import type { Kysely } from 'kysely';
import type { BlobHash } from '#shared/base/ids.ts';
import type { Database } from '#shared/db/schema.ts';
import { MailError } from '#server/mail/mail-error.ts';
import type { MessageSource } from '#server/mail/outbound-ports.ts';
import { readBlobs, readPieces } from './pg-blobs.ts';
import { mailErrorOf, refusing } from './pg-fault.ts';

const maxGroupBytes = 1024 * 1024;
const maxGroupMessages = 50;

type Wanted = { readonly hash: BlobHash; readonly rawSize: number; readonly isInPieces: boolean };

export class QueueContents {
  readonly #db: Kysely<Database>;
  readonly #groups: Wanted[][] = [];
  readonly #groupOf = new Map<BlobHash, number>();
  readonly #inPieces = new Set<BlobHash>();
  #loaded: { readonly group: number; readonly blobs: Promise<ReadonlyMap<BlobHash, Buffer>> } | null = null;

  /** `wanted` in the order in which they will be read; may name one more than once. */
  constructor(db: Kysely<Database>, wanted: readonly Wanted[]) {
    this.#db = db;
    let bytes = 0;
    for (const one of wanted) {
      if (one.isInPieces) this.#inPieces.add(one.hash);
      if (one.isInPieces || this.#groupOf.has(one.hash)) continue;
      const last = this.#groups.at(-1);
      if (last === undefined || last.length === maxGroupMessages || bytes + one.rawSize > maxGroupBytes) {
        this.#groups.push([]);
        bytes = 0;
      }
      this.#groups.at(-1)?.push(one);
      bytes += one.rawSize;
      this.#groupOf.set(one.hash, this.#groups.length - 1);
    }
  }

  /** All of it is read at once. */
  get isOneGroup(): boolean {
    return this.#groups.length <= 1;
  }

  source(prefix: Buffer, hash: BlobHash, rawSize: number): MessageSource {
    return { prefix, hash, rawSize, read: (start, end) => this.#read(hash, start, Math.min(end, rawSize)) };
  }

  async *#read(hash: BlobHash, start: number, end: number): AsyncGenerator<Buffer, void, void> {
    if (start >= end) return;
    if (!this.#inPieces.has(hash)) {
      yield (await refusing(this.#get(hash))).subarray(start, end);
      return;
    }
    try {
      yield* readPieces(this.#db, hash, start, end);
    } catch (error) {
      throw mailErrorOf(error) ?? error;
    }
  }

  async #get(hash: BlobHash): Promise<Buffer> {
    const group = this.#groupOf.get(hash) ?? 0;
    if (this.#loaded?.group !== group) {
      const wanted = (this.#groups[group] ?? []).map((one) => ({ hash: one.hash, bytes: one.rawSize }));
      this.#loaded = { group, blobs: readBlobs(this.#db, wanted) };
    }
    const loaded = this.#loaded;
    try {
      const blob = (await loaded.blobs).get(hash);
      // It was swept though the queue names it: nothing that coming again could mend, but nobody is told a lie either.
      if (!blob) throw new MailError({ kind: 'unavailable' });
      return blob;
    } catch (error) {
      if (this.#loaded === loaded) this.#loaded = null;
      throw error;
    }
  }
}
