import { tmpdir } from 'node:os';
import path from 'node:path';
import { MessageScanner } from '#server/mime/message-scanner.ts';
import type { SpooledMessage } from '#server/mail/ports.ts';
import { SpoolArea } from '#server/wire/spool.ts';

let area: Promise<SpoolArea> | null = null;

/** A message as the receive path hands it to the store; a string is taken byte for byte (latin1). */
export async function spooled(raw: string | Buffer): Promise<SpooledMessage> {
  area ??= SpoolArea.open({
    directory: path.join(tmpdir(), `postrider-test-spool-${process.getuid?.() ?? 0}`),
    maxMemoryBytes: 256 * 1024 * 1024,
    createIndexer: () => new MessageScanner(),
  });
  const bytes = typeof raw === 'string' ? Buffer.from(raw, 'latin1') : raw;
  await using spool = (await area).createSpool(bytes.length);
  await spool.write(bytes);
  return await spool.finish();
}

/** The same, read in pieces of `pieceBytes`. */
export async function spooledInPieces(raw: string | Buffer, pieceBytes: number): Promise<SpooledMessage> {
  const { size, hash, index, inMemory } = await spooled(raw);
  const bytes = inMemory ?? Buffer.alloc(0);
  return {
    size,
    hash,
    index,
    inMemory,
    async *read(start, end) {
      for (let at = start; at < end; at += pieceBytes) yield bytes.subarray(at, Math.min(end, at + pieceBytes));
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}
