const dot = 0x2e;
const lf = 0x0a;
const cr = 0x0d;

/**
 * Doubles the dot at the start of each line (RFC 5321 section 4.5.2), chunk by chunk. A dot after a lone LF is
 * doubled too: whatever the peer takes for a line end, no line of the message is the end of the data.
 */
export class DotStuffing {
  #beforeLast = cr;
  #last = lf;

  /** `chunk` itself where nothing is to be doubled. */
  stuff(chunk: Buffer): Buffer {
    if (chunk.length === 0) return chunk;
    const pieces: Buffer[] = [];
    let from = 0;
    if (this.#last === lf && chunk[0] === dot) pieces.push(Buffer.from('.'));
    for (let at = chunk.indexOf('\n.'); at !== -1; at = chunk.indexOf('\n.', at + 2)) {
      pieces.push(chunk.subarray(from, at + 2));
      from = at + 1;
    }
    this.#beforeLast = chunk.at(-2) ?? this.#last;
    this.#last = chunk.at(-1) ?? lf;
    return pieces.length === 0 ? chunk : Buffer.concat([...pieces, chunk.subarray(from)]);
  }

  /** The end of the data (RFC 5321 section 4.1.1.4); the line end before the dot is the message's own where it has one. */
  get end(): string {
    return this.#beforeLast === cr && this.#last === lf ? '.\r\n' : '\r\n.\r\n';
  }
}
