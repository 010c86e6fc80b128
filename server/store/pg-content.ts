/**
 * The bytes of fetched messages, loaded when they are asked for, many messages a query: a client that asks for
 * one message's header mostly asks for those of its neighbours next. At most one group of headers and one of
 * bodies is held; a message in pieces is read piece by piece.
 */
import type { Kysely } from 'kysely';
import type { BlobHash } from '#shared/base/ids.ts';
import type { Database } from '#shared/db/schema.ts';
import { MailError } from '#server/mail/mail-error.ts';
import type { MessageContent } from '#server/mail/ports.ts';
import { decodeParts } from '#server/mime/part-codec.ts';
import { readBlobs, readPieces } from './pg-blobs.ts';
import { mailErrorOf, refusing } from './pg-fault.ts';
import type { MessageRow } from './pg-message-rows.ts';

/** A session holds up to two groups for as long as its client takes to read them; larger ones are hardly faster. */
const maxGroupBytes = 1024 * 1024;

type Wanted = { readonly hash: BlobHash; readonly bytes: number };

/** By UID. The rows must have been read with `content`. */
export function contentsOf(db: Kysely<Database>, rows: readonly MessageRow[]): ReadonlyMap<number, MessageContent> {
  const messages = rows.map((row) => ({
    uid: Number(row.uid),
    prefix: row.prefix as Buffer,
    root: decodeParts(row.parts as string),
    hash: row.hash as BlobHash,
    rawSize: Number(row.raw_size),
    isInPieces: row.in_pieces === true,
  }));
  const small = messages.filter(({ isInPieces }) => !isInPieces);
  const headers = new BlobGroups(
    db,
    small.map(({ hash, root }) => ({ hash, bytes: root.bodyStart })),
  );
  const bodies = new BlobGroups(
    db,
    small.map(({ hash, rawSize }) => ({ hash, bytes: rawSize })),
  );
  return new Map(
    messages.map(({ uid, prefix, root, hash, rawSize, isInPieces }) => {
      const read = (start: number, end: number): AsyncIterable<Buffer> => {
        const to = Math.min(end, rawSize);
        if (isInPieces) return refusingPieces(readPieces(db, hash, start, to));
        return slice(to <= root.bodyStart ? headers : bodies, hash, start, to);
      };
      return [uid, { prefix, rawSize, root, read }];
    }),
  );
}

async function* slice(
  groups: BlobGroups,
  hash: BlobHash,
  start: number,
  end: number,
): AsyncGenerator<Buffer, void, void> {
  if (start >= end) return;
  yield (await refusing(groups.get(hash))).subarray(start, end);
}

async function* refusingPieces(pieces: AsyncGenerator<Buffer, void, void>): AsyncGenerator<Buffer, void, void> {
  try {
    yield* pieces;
  } catch (error) {
    throw mailErrorOf(error) ?? error;
  }
}

/** Blobs, or their beginnings, in groups of `maxGroupBytes`; the group used last is kept. */
class BlobGroups {
  readonly #db: Kysely<Database>;
  readonly #groups: readonly (readonly Wanted[])[];
  readonly #groupOf = new Map<BlobHash, number>();
  #loaded: { readonly group: number; readonly blobs: Promise<ReadonlyMap<BlobHash, Buffer>> } | null = null;

  constructor(db: Kysely<Database>, wanted: readonly Wanted[]) {
    this.#db = db;
    const groups: Wanted[][] = [];
    let bytes = 0;
    for (const one of new Map(wanted.map((entry) => [entry.hash, entry])).values()) {
      if (groups.length === 0 || bytes + one.bytes > maxGroupBytes) {
        groups.push([]);
        bytes = 0;
      }
      groups.at(-1)?.push(one);
      bytes += one.bytes;
      this.#groupOf.set(one.hash, groups.length - 1);
    }
    this.#groups = groups;
  }

  async get(hash: BlobHash): Promise<Buffer> {
    const group = this.#groupOf.get(hash) ?? 0;
    if (this.#loaded?.group !== group) {
      this.#loaded = { group, blobs: readBlobs(this.#db, this.#groups[group] ?? []) };
    }
    try {
      const blob = (await this.#loaded.blobs).get(hash);
      // The message was removed while the client was reading, and the janitor has been there.
      if (!blob) throw new MailError({ kind: 'unavailable' });
      return blob;
    } catch (error) {
      this.#loaded = null;
      throw error;
    }
  }
}
