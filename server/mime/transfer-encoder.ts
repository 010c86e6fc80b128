/** Content-Transfer-Encodings that make any bytes ASCII in short lines (RFC 2045 sections 6.7 and 6.8), in pieces. */
export interface TransferEncoder {
  write(bytes: Buffer): string;
  /** Once, after the last bytes. */
  end(): string;
}

/** RFC 2045 section 6.7: lines of at most 76 characters, without their line break. */
const maxLine = 76;
/** Bytes of a line of base64. */
const base64LineBytes = 57;

const tab = 9;
const lf = 10;
const cr = 13;
const space = 32;
const dash = 45;
const equals = 61;

/** A line break of the content is a line break; what stands before it in white space is written out. */
export class QuotedPrintableEncoder implements TransferEncoder {
  /** A blank or a CR: what it becomes depends on what follows. */
  #held: number | null = null;
  #column = 0;
  #out = '';

  write(bytes: Buffer): string {
    this.#out = '';
    for (const byte of bytes) this.#take(byte);
    return this.#out;
  }

  end(): string {
    this.#out = '';
    if (this.#held !== null) this.#put(escaped(this.#held));
    this.#held = null;
    return this.#out;
  }

  #take(byte: number): void {
    const held = this.#held;
    this.#held = null;
    if (held === cr && byte === lf) {
      this.#out += '\r\n';
      this.#column = 0;
      return;
    }
    if (held === cr) this.#put(escaped(cr));
    else if (held !== null && byte === cr) {
      // It may end a line, so it is written out; in the middle of one that does no harm.
      this.#put(escaped(held));
    } else if (held !== null) this.#put(String.fromCharCode(held));
    if (byte === cr || byte === space || byte === tab) this.#held = byte;
    else if (byte > space && byte < 127 && byte !== equals) this.#put(String.fromCharCode(byte));
    else this.#put(escaped(byte));
  }

  #put(token: string): void {
    // One place is kept for the "=" of a soft line break.
    if (this.#column + token.length <= maxLine - 1) {
      this.#out += token;
      this.#column += token.length;
      return;
    }
    // The content's own lines don't look like a boundary; what now begins a line must not either.
    const first = token === '-' ? escaped(dash) : token;
    this.#out += `=\r\n${first}`;
    this.#column = first.length;
  }
}

/** Lines of 76 characters, with line breaks between them and none after the last. */
export class Base64Encoder implements TransferEncoder {
  #rest: Buffer = Buffer.alloc(0);
  #isBegun = false;

  write(bytes: Buffer): string {
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    const whole = all.length - (all.length % base64LineBytes);
    this.#rest = Buffer.from(all.subarray(whole));
    return this.#lines(all.subarray(0, whole));
  }

  end(): string {
    return this.#lines(this.#rest);
  }

  #lines(bytes: Buffer): string {
    const lines = bytes.toString('base64').match(/.{1,76}/g) ?? [];
    if (lines.length === 0) return '';
    const text = `${this.#isBegun ? '\r\n' : ''}${lines.join('\r\n')}`;
    this.#isBegun = true;
    return text;
  }
}

function escaped(byte: number): string {
  return `=${byte.toString(16).toUpperCase().padStart(2, '0')}`;
}
