/** Undoes a Content-Transfer-Encoding over bytes that come in pieces. */
export interface TransferDecoder {
  write(bytes: Buffer): Buffer;
  end(): Buffer;
}

/** RFC 2045 section 6. Unknown encodings are taken as they are; broken ones are decoded as far as they go. */
export function transferDecoder(encoding: string): TransferDecoder {
  switch (encoding.toLowerCase()) {
    case 'base64':
      return new Base64Decoder();
    case 'quoted-printable':
      return new QuotedPrintableDecoder();
    default:
      return { write: (bytes) => bytes, end: () => nothing };
  }
}

const nothing = Buffer.alloc(0);

/** RFC 2045 section 6.8. Other characters are skipped; padding ends a run, after which another may begin. */
class Base64Decoder implements TransferDecoder {
  #held = '';

  write(bytes: Buffer): Buffer {
    const runs = bytes
      .toString('latin1')
      .replaceAll(/[^A-Za-z0-9+/=]+/g, '')
      .split(/=+/);
    const decoded: Buffer[] = [];
    for (const [index, run] of runs.entries()) {
      const text = this.#held + run;
      const isLast = index === runs.length - 1;
      const cut = isLast ? text.length - (text.length % 4) : text.length;
      this.#held = text.slice(cut);
      decoded.push(Buffer.from(text.slice(0, cut), 'base64'));
    }
    return decoded.length === 1 ? (decoded[0] as Buffer) : Buffer.concat(decoded);
  }

  end(): Buffer {
    const rest = Buffer.from(this.#held, 'base64');
    this.#held = '';
    return rest;
  }
}

/** RFC 2045 section 6.7. An `=` that begins nothing stands for itself. */
class QuotedPrintableDecoder implements TransferDecoder {
  #held = '';

  write(bytes: Buffer): Buffer {
    const text = this.#held + bytes.toString('latin1');
    const unfinished = /=(?:[0-9A-Fa-f]|[ \t]{0,80}\r?)?$/.exec(text.slice(-maxUnfinished));
    const cut = text.length - (unfinished?.[0].length ?? 0);
    this.#held = text.slice(cut);
    return decodeQuoted(text.slice(0, cut));
  }

  end(): Buffer {
    const rest = decodeQuoted(this.#held);
    this.#held = '';
    return rest;
  }
}

/** Characters of an `=` at the end of a piece with what may belong to it: blanks before a soft line break. */
const maxUnfinished = 83;

function decodeQuoted(text: string): Buffer {
  if (!text.includes('=')) return Buffer.from(text, 'latin1');
  const plain = text.replaceAll(/=(?:([0-9A-Fa-f]{2})|[ \t]{0,80}\r?\n)/g, (_match, hex: string | undefined) =>
    hex === undefined ? '' : String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(plain, 'latin1');
}
