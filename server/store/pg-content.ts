/**
 * The bytes of fetched messages, loaded when they are asked for, many messages a query: a client that asks for
 * one message's header mostly asks for those of its neighbours next. At most two groups of headers and two of
 * bodies are held; a message in pieces is read a few pieces at a time.
 */
import type { Kysely } from 'kysely';
import type { BlobHash } from '#shared/base/ids.ts';
import { RowMemory } from '#shared/db/copy-out.ts';
import type { Database } from '#shared/db/schema.ts';
import { MailError } from '#server/mail/mail-error.ts';
import type { MessageContent } from '#server/mail/ports.ts';
import { decodeParts } from '#server/mime/part-codec.ts';
import { readBlobs, readPieces } from './pg-blobs.ts';
import { mailErrorOf, refusing } from './pg-fault.ts';
import type { MessageRow } from './pg-message-rows.ts';
import type { PackedContent } from './pg-packed-rows.ts';

/** A session holds up to four groups for as long as its client takes to read them; larger ones are hardly faster. */
const maxGroupBytes = 512 * 1024;

type Wanted = { readonly hash: BlobHash; readonly bytes: number };

/** By UID. The rows must have been read with `content`. */
export function contentsOf(db: Kysely<Database>, rows: readonly MessageRow[]): ReadonlyMap<number, MessageContent> {
  const packed = rows.map((row) => ({
    prefix: row.prefix as Buffer,
    parts: row.parts as string,
    hash: row.hash as BlobHash,
    rawSize: Number(row.raw_size),
    isInPieces: row.in_pieces === true,
    raw: null,
  }));
  const content = packedContents(db, packed, false);
  return new Map(rows.map((row, i) => [Number(row.uid), content(i)]));
}

/**
 * The content of the n-th. `isReused`: a chunk of any of them is good until the next chunk of any of them is asked for,
 * and all of them take the memory of a few groups.
 */
export function packedContents(
  db: Kysely<Database>,
  packed: readonly PackedContent[],
  isReused: boolean,
): (place: number) => MessageContent {
  const messages = packed.map((message) => ({ ...message, root: decodeParts(message.parts) }));
  const unread = messages.filter(
    ({ isInPieces, raw, rawSize }) => !isInPieces && (raw === null || raw.length < rawSize),
  );
  const headers = new BlobGroups(
    db,
    unread.map(({ hash, root }) => ({ hash, bytes: root.bodyStart })),
    isReused,
  );
  const bodies = new BlobGroups(
    db,
    unread.map(({ hash, rawSize }) => ({ hash, bytes: rawSize })),
    isReused,
  );
  return (place) => {
    const { prefix, root, hash, rawSize, isInPieces, raw } = messages[place] as (typeof messages)[number];
    const read = (start: number, end: number): AsyncIterable<Buffer> => {
      const to = Math.min(end, rawSize);
      if (isInPieces) return refusingPieces(readPieces(db, hash, start, to, isReused));
      return raw && to <= raw.length
        ? oneChunk(raw, start, to)
        : slice(to <= root.bodyStart ? headers : bodies, hash, start, to);
    };
    const atHand = (start: number, end: number): Buffer | null => {
      const to = Math.min(end, rawSize);
      if (isInPieces) return null;
      if (raw && to <= raw.length) return raw.subarray(start, to);
      return (to <= root.bodyStart ? headers : bodies).peek(hash)?.subarray(start, to) ?? null;
    };
    return { prefix, rawSize, root, read, atHand };
  };
}

async function* oneChunk(raw: Buffer, start: number, end: number): AsyncGenerator<Buffer, void, void> {
  if (start < end) yield raw.subarray(start, end);
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

type Blobs = ReadonlyMap<BlobHash, Buffer>;

type Group = {
  readonly blobs: Promise<Blobs>;
  /** Null: what is read gets new memory. */
  readonly memory: RowMemory | null;
  /** When all of it was read: nothing is written to its memory any more. */
  there: Blobs | null;
};

/** Of what comes with a blob in its row. */
const rowBytes = 64;

/** Blobs, or their beginnings, in groups of `maxGroupBytes`: the one used last is kept, and the next is read ahead. */
class BlobGroups {
  readonly #db: Kysely<Database>;
  readonly #groups: readonly (readonly Wanted[])[];
  readonly #groupOf = new Map<BlobHash, number>();
  readonly #loading = new Map<number, Group>();
  readonly #isReused: boolean;
  /** Of groups that were used. */
  readonly #memories: RowMemory[] = [];
  readonly #mostBytes: number;

  constructor(db: Kysely<Database>, wanted: readonly Wanted[], isReused: boolean) {
    this.#db = db;
    this.#isReused = isReused;
    const groups: Wanted[][] = [];
    let bytes = 0;
    let mostBytes = 0;
    for (const one of new Map(wanted.map((entry) => [entry.hash, entry])).values()) {
      if (groups.length === 0 || bytes + one.bytes > maxGroupBytes) {
        groups.push([]);
        bytes = 0;
      }
      groups.at(-1)?.push(one);
      bytes += one.bytes + rowBytes;
      mostBytes = Math.max(mostBytes, bytes);
      this.#groupOf.set(one.hash, groups.length - 1);
    }
    this.#groups = groups;
    this.#mostBytes = mostBytes;
  }

  async get(hash: BlobHash): Promise<Buffer> {
    const number = this.#groupOf.get(hash) ?? 0;
    this.#moveTo(number);
    try {
      const blobs = await this.#load(number).blobs;
      this.#load(number + 1);
      const blob = blobs.get(hash);
      // The message was removed while the client was reading, and the janitor has been there.
      if (!blob) throw new MailError({ kind: 'unavailable' });
      return blob;
    } catch (error) {
      this.#loading.delete(number);
      throw error;
    }
  }

  /** Null: it has to be waited for. */
  peek(hash: BlobHash): Buffer | null {
    const number = this.#groupOf.get(hash) ?? 0;
    const blob = this.#loading.get(number)?.there?.get(hash) ?? null;
    if (blob === null) return null;
    this.#moveTo(number);
    this.#load(number + 1);
    return blob;
  }

  /** Lets go of all others but the next. */
  #moveTo(number: number): void {
    for (const [other, { there, memory }] of this.#loading) {
      if (other === number || other === number + 1) continue;
      this.#loading.delete(other);
      if (there !== null && memory !== null) this.#memories.push(memory);
    }
  }

  #load(number: number): Group {
    const known = this.#loading.get(number);
    if (known) return known;
    const wanted = this.#groups[number] ?? [];
    const memory =
      this.#isReused && wanted.length > 0 ? (this.#memories.pop() ?? new RowMemory(this.#mostBytes)) : null;
    memory?.reuse();
    const group: Group = { blobs: readBlobs(this.#db, wanted, memory), memory, there: null };
    // Whoever waits for it hears why it failed.
    group.blobs.then(
      (blobs) => (group.there = blobs),
      () => undefined,
    );
    this.#loading.set(number, group);
    return group;
  }
}
