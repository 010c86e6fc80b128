/** The bytes of messages, once for all accounts, by their SHA-256: in one row up to 1 MiB, above that in pieces. */
import { sql, type Kysely, type Transaction } from 'kysely';
import type { BlobHash } from '#shared/base/ids.ts';
import { blobPieceBytes } from '#shared/base/limits.ts';
import type { Database } from '#shared/db/schema.ts';
import { transact } from '#shared/db/tx.ts';
import { MailError } from '#server/mail/mail-error.ts';
import type { SpooledMessage } from '#server/mail/ports.ts';

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

/** The first `bytes` of small blobs (those not in pieces). A hash that is not there is left out. */
export async function readBlobs(
  db: Kysely<Database>,
  wanted: readonly { readonly hash: BlobHash; readonly bytes: number }[],
): Promise<ReadonlyMap<BlobHash, Buffer>> {
  const { rows } = await sql<{ hash: string; raw: Buffer }>`/*read-blobs*/
    select encode(b.hash, 'hex') as hash, substring(b.raw for w.bytes) as raw
    from unnest(${wanted.map(({ hash }) => Buffer.from(hash, 'hex'))}::bytea[], ${wanted.map(({ bytes }) => bytes)}::int4[]) w (hash, bytes)
    join blob b on b.hash = w.hash where b.raw is not null`.execute(db);
  return new Map(rows.map(({ hash, raw }) => [hash as BlobHash, raw]));
}

/** Bytes `start` to `end` of a blob in pieces, at most one piece at a time. MailError unavailable: it is gone. */
export async function* readPieces(
  db: Kysely<Database>,
  hash: BlobHash,
  start: number,
  end: number,
): AsyncGenerator<Buffer, void, void> {
  const key = Buffer.from(hash, 'hex');
  for (let at = start; at < end;) {
    const piece = Math.floor(at / blobPieceBytes);
    const from = at - piece * blobPieceBytes;
    const length = Math.min(end - at, blobPieceBytes - from);
    const { rows } = await sql<{ data: Buffer }>`/*read-piece*/
      select substring(data from ${from + 1}::int4 for ${length}::int4) as data
      from blob_piece where hash = ${key} and piece = ${piece}`.execute(db);
    const data = rows[0]?.data;
    // The message was removed while the client was reading, and the janitor has been there.
    if (!data) throw new MailError({ kind: 'unavailable' });
    if (data.length !== length) throw new Error(`blob ${hash} has no ${length} bytes at ${at}`);
    yield data;
    at += length;
  }
}
