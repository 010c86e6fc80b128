/** The bytes of messages, once for all accounts, by their SHA-256: in one row up to 1 MiB, above that in pieces. */
import { CompiledQuery, sql, type Kysely, type Transaction } from 'kysely';
import type { BlobHash } from '#shared/base/ids.ts';
import { blobPieceBytes } from '#shared/base/limits.ts';
import { RowMemory, type CopiedRow } from '#shared/db/copy-out.ts';
import type { Database } from '#shared/db/schema.ts';
import { transact } from '#shared/db/tx.ts';
import { MailError } from '#server/mail/mail-error.ts';
import type { SpooledMessage } from '#server/mail/ports.ts';

/** Read in one statement; so many more are read ahead. */
const piecesAtOnce = 4;
/** A row of the answer: a larger one is copied again and again while it comes in. */
const sliceBytes = 64 * 1024;

/** Stores a message's bytes unless they are there, in a transaction of its own. The janitor spares them for its grace period. */
export async function uploadBlob(db: Kysely<Database>, message: SpooledMessage): Promise<void> {
  const hash = Buffer.from(message.hash, 'hex');
  await transact(db, async (tx) => {
    const made = await tx
      .insertInto('blob')
      .values({ hash, size: BigInt(message.size), raw: message.inMemory })
      .onConflict((conflict) => conflict.doNothing())
      .returning('hash')
      .executeTakeFirst();
    if (made && message.inMemory === null) await uploadPieces(tx, hash, message);
  });
}

async function uploadPieces(tx: Transaction<Database>, hash: Buffer, message: SpooledMessage): Promise<void> {
  let piece = 0;
  for (let start = 0; start < message.size; start += blobPieceBytes) {
    const end = Math.min(start + blobPieceBytes, message.size);
    const data = await readAll(message.read(start, end));
    await sql`/*put-piece*/ insert into blob_piece (hash, piece, data) values (${hash}, ${piece++}, ${data})`.execute(
      tx,
    );
  }
}

async function readAll(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

/** The first `bytes` of small blobs (those not in pieces), each once. A hash that is not there is left out. */
export async function readBlobs(
  db: Kysely<Database>,
  wanted: readonly { readonly hash: BlobHash; readonly bytes: number }[],
  memory: RowMemory | null = null,
): Promise<ReadonlyMap<BlobHash, Buffer>> {
  if (wanted.length === 0) return new Map();
  const values = wanted.map(({ hash, bytes }, place) => `(${place}, '\\x${hexOf(hash)}'::bytea, ${bytes})`).join(', ');
  const rows = await copied(
    db,
    `copy (
    select w.place, b.raw from (values ${values}) w (place, hash, bytes), lateral (
      select substring(raw for w.bytes) as raw from blob where hash = w.hash and raw is not null offset 0) b
    ) to stdout (format binary)`,
    memory,
  );
  return new Map(rows.map(([place, raw]) => [wanted[place?.readInt32BE() ?? 0]?.hash as BlobHash, raw as Buffer]));
}

async function copied(db: Kysely<Database>, text: string, memory: RowMemory | null): Promise<readonly CopiedRow[]> {
  const query = CompiledQuery.raw(text, memory === null ? [] : [memory]);
  return (await db.executeQuery<CopiedRow>(query)).rows;
}

/** COPY takes no parameters. */
function hexOf(hash: BlobHash): string {
  if (!/^[0-9a-f]+$/.test(hash)) throw new Error('a hash is hexadecimal');
  return hash;
}

/** Of the place that comes with a slice. */
const placeBytes = 4;
/** Of a reading of pieces that writes over what it gave before. */
const stepBytes = blobPieceBytes * piecesAtOnce;

/**
 * Bytes `start` to `end` of a blob in pieces: while some are used the next are read. `isReused`: a chunk is good until the
 * next is asked for, and all of them take two steps' memory. MailError unavailable: it is gone.
 */
export async function* readPieces(
  db: Kysely<Database>,
  hash: BlobHash,
  start: number,
  end: number,
  isReused = false,
): AsyncGenerator<Buffer, void, void> {
  const memories = isReused ? [newMemory(end - start), newMemory(end - start - stepBytes)] : [];
  const read = (from: number): Promise<readonly Buffer[]> => {
    const memory = memories.shift() ?? null;
    memory?.reuse();
    const pieces = readSomePieces(db, hash, { start: from, end: Math.min(end, nextStart(from)), memory });
    if (memory) memories.push(memory);
    // Whoever waits for them hears of it; when nobody does any more, nobody needs to.
    pieces.catch(() => undefined);
    return pieces;
  };
  let next = start < end ? read(start) : null;
  for (let at = start; next !== null; at = nextStart(at)) {
    const pieces = await next;
    next = nextStart(at) < end ? read(nextStart(at)) : null;
    yield* pieces;
  }
}

function newMemory(mostBytes: number): RowMemory {
  const slices = stepBytes / sliceBytes;
  return new RowMemory(Math.max(0, Math.min(mostBytes, stepBytes)) + slices * placeBytes);
}

function nextStart(at: number): number {
  return (Math.floor(at / stepBytes) + 1) * stepBytes;
}

async function readSomePieces(
  db: Kysely<Database>,
  hash: BlobHash,
  { start, end, memory }: { readonly start: number; readonly end: number; readonly memory: RowMemory | null },
): Promise<readonly Buffer[]> {
  const slices: string[] = [];
  for (let at = start; at < end;) {
    const next = Math.min(end, (Math.floor(at / sliceBytes) + 1) * sliceBytes);
    slices.push(`(${slices.length}, ${Math.floor(at / blobPieceBytes)}, ${at % blobPieceBytes}, ${next - at})`);
    at = next;
  }
  const rows = await copied(
    db,
    `copy (
    select s.place, substring(p.data from s.start + 1 for s.bytes)
    from (values ${slices.join(', ')}) s (place, piece, start, bytes), lateral (
      select data from blob_piece where hash = '\\x${hexOf(hash)}'::bytea and piece = s.piece offset 0) p
    ) to stdout (format binary)`,
    memory,
  );
  // The message was removed while the client was reading, and the janitor has been there.
  if (rows.length === 0) throw new MailError({ kind: 'unavailable' });
  // To be sorted there, they would all be copied.
  const pieces: Buffer[] = [];
  for (const [place, data] of rows) pieces[place?.readInt32BE() ?? 0] = data as Buffer;
  const bytes = pieces.reduce((sum, { length }) => sum + length, 0);
  if (bytes !== end - start) throw new Error(`blob ${hash} has ${bytes} bytes at ${start}, not ${end - start}`);
  return pieces;
}
