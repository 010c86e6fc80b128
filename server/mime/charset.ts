import { isUtf8 } from 'node:buffer';
import iconv from 'iconv-lite';

/** Turns bytes that come in pieces into text. Characters cut by the border of two pieces are put together. */
export interface CharsetDecoder {
  write(bytes: Buffer): string;
  end(): string;
}

/**
 * A decoder for a MIME charset; never throws, neither here nor later. Where the name is missing, unknown or
 * says ASCII, bytes are UTF-8 as long as they are valid, and Latin-1 from the first piece on that isn't.
 * Otherwise bytes that the charset doesn't have become U+FFFD.
 */
export function charsetDecoder(charset: string | null): CharsetDecoder {
  const name = charset?.trim().toLowerCase() ?? '';
  if (['', 'us-ascii', 'ascii', 'utf-8', 'utf8', 'unknown-8bit', '8bit', 'binary'].includes(name))
    return new Utf8OrLatin1();
  try {
    const decoder = new TextDecoder(name);
    return { write: (bytes) => decoder.decode(bytes, { stream: true }), end: () => decoder.decode() };
  } catch {
    // Not one of the WHATWG's labels: iconv-lite knows some more, such as utf-7 and ibm850.
  }
  if (!iconv.encodingExists(name)) return new Utf8OrLatin1();
  const decoder = iconv.getDecoder(name);
  return { write: (bytes) => decoder.write(bytes), end: () => decoder.end() ?? '' };
}

/** All of the bytes at once; see `charsetDecoder`. */
export function decodeCharset(bytes: Buffer, charset: string | null): string {
  const decoder = charsetDecoder(charset);
  return decoder.write(bytes) + decoder.end();
}

class Utf8OrLatin1 implements CharsetDecoder {
  #tail: Buffer = Buffer.alloc(0);
  #isLatin1 = false;

  write(bytes: Buffer): string {
    if (this.#isLatin1) return bytes.toString('latin1');
    const all = this.#tail.length === 0 ? bytes : Buffer.concat([this.#tail, bytes]);
    const cut = all.length - incompleteTail(all);
    const whole = all.subarray(0, cut);
    if (isUtf8(whole)) {
      this.#tail = Buffer.from(all.subarray(cut));
      return whole.toString('utf8');
    }
    this.#isLatin1 = true;
    return all.toString('latin1');
  }

  end(): string {
    const rest = this.#isLatin1 ? '' : this.#tail.toString('latin1');
    this.#tail = Buffer.alloc(0);
    return rest;
  }
}

/** Bytes at the end that begin a UTF-8 character and lack its rest (RFC 3629 section 3). */
function incompleteTail(bytes: Buffer): number {
  for (let length = 1; length <= Math.min(3, bytes.length); length++) {
    const byte = bytes[bytes.length - length] as number;
    if (byte < 0x80) return 0;
    if (byte >= 0xc0) {
      const needed = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
      return needed > length ? length : 0;
    }
  }
  return 0;
}
