/** What the search index has of a message's bytes, made once for all accounts that have the message. */
import type { BlobHash } from '#shared/base/ids.ts';
import type { Part } from '#server/mime/part.ts';
import { bodyTexts, foldText, headerText } from '#server/mime/search-text.ts';
import { maxColumnsPerEmail } from '#server/search/segment.ts';
import type { SharedColumns } from '#server/search/segment-builder.ts';
import { columnBytes, TextColumns } from '#server/search/text-columns.ts';

/** All that are kept, in bytes: what comes to many accounts comes to them at the same time. */
const maxKeptBytes = 4 * 1024 * 1024;
/** Of one message. */
const maxBytesEach = 64 * 1024;

const text = new TextColumns();

/**
 * `raw` reaches as far as `searchedEnd`. Null: the text is too long to be taken in one go, or what stands before the message
 * would be part of its first line.
 */
export function columnsOf(root: Part, raw: Buffer): SharedColumns | null {
  if (raw[0] === 0x20 || raw[0] === 0x09) return null;
  const bodies = bodyTexts(root, raw);
  if (bodies === null) return null;
  const header = foldText(headerText(raw.toString('latin1', 0, root.bodyStart)));
  const columns: Uint8Array[] = [];
  const next = (): Uint8Array | null => {
    if (columns.length >= maxColumnsPerEmail) return null;
    const column = new Uint8Array(columnBytes);
    columns.push(column);
    return column;
  };
  text.start(next);
  text.add(header);
  const headerColumns = columns.length;
  text.start(next);
  for (const body of bodies) text.add(foldText(body));
  return {
    start: header.slice(0, 2),
    header: columns.slice(0, headerColumns),
    body: columns.slice(headerColumns),
    isOpen: columns.length >= maxColumnsPerEmail,
  };
}

/** The columns of the messages that were looked at last. */
export class KnownColumns {
  readonly #kept = new Map<BlobHash, SharedColumns>();
  #bytes = 0;

  has(hash: BlobHash): boolean {
    return this.#kept.has(hash);
  }

  get(hash: BlobHash): SharedColumns | null {
    return this.#kept.get(hash) ?? null;
  }

  put(hash: BlobHash, columns: SharedColumns): void {
    const bytes = bytesOf(columns);
    if (bytes > maxBytesEach) return;
    if (!this.#kept.delete(hash)) this.#bytes += bytes;
    this.#kept.set(hash, columns);
    for (const [oldest, one] of this.#kept) {
      if (this.#bytes <= maxKeptBytes) return;
      this.#kept.delete(oldest);
      this.#bytes -= bytesOf(one);
    }
  }
}

/** With what the objects themselves take. */
function bytesOf({ header, body }: SharedColumns): number {
  return 512 + (header.length + body.length) * (columnBytes + 128);
}
