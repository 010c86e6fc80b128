/** The peer wrote something that the grammar doesn't have. `rule` is the name in the RFC's ABNF. */
export class SyntaxFault extends Error {
  override readonly name: string = 'SyntaxFault';
  readonly rule: string;
  readonly offset: number;

  constructor(rule: string, offset: number) {
    super(`expected ${rule} at ${offset}`);
    this.rule = rule;
    this.offset = offset;
  }
}

/**
 * A cursor over text that is at hand as a whole: for most protocols a latin1 view, one code unit a byte.
 * Grammar functions advance it or throw a SyntaxFault; those that answer null or false leave it where it was.
 */
export class Scanner {
  readonly text: string;
  #at = 0;

  constructor(text: string) {
    this.text = text;
  }

  /** Code units before the cursor. */
  get offset(): number {
    return this.#at;
  }

  get done(): boolean {
    return this.#at === this.text.length;
  }

  fail(rule: string): never {
    throw new SyntaxFault(rule, this.#at);
  }

  /** The next code unit; NaN at the end. */
  peek(): number {
    return this.text.charCodeAt(this.#at);
  }

  startsWith(literal: string): boolean {
    return this.text.startsWith(literal, this.#at);
  }

  take(literal: string): boolean {
    if (!this.startsWith(literal)) return false;
    this.#at += literal.length;
    return true;
  }

  /** As `take`, without ASCII case; `word` is in capitals. */
  takeWord(word: string): boolean {
    for (let i = 0; i < word.length; i++) {
      const code = this.text.charCodeAt(this.#at + i);
      const capital = code >= 0x61 && code <= 0x7a ? code - 0x20 : code;
      if (capital !== word.charCodeAt(i)) return false;
    }
    this.#at += word.length;
    return true;
  }

  expect(literal: string, rule: string): void {
    if (!this.take(literal)) this.fail(rule);
  }

  /** The longest run, perhaps empty, of code units that `belongs` accepts. */
  takeWhile(belongs: (code: number) => boolean): string {
    const start = this.#at;
    while (this.#at < this.text.length && belongs(this.text.charCodeAt(this.#at))) this.#at++;
    return this.text.slice(start, this.#at);
  }

  /** What `pattern` (with the flag y) matches at the cursor, and passes it. */
  match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.text);
    if (found) this.#at = pattern.lastIndex;
    return found;
  }

  /** The next `length` code units, or null when there are not so many. */
  takeCount(length: number): string | null {
    if (this.text.length - this.#at < length) return null;
    this.#at += length;
    return this.text.slice(this.#at - length, this.#at);
  }

  /** RFC 3501 section 9 "number": digits, below 2^32. */
  number(rule = 'number'): number {
    const start = this.#at;
    const digits = this.takeWhile(isDigit);
    const value = Number(digits);
    if (digits === '' || value > 0xffff_ffff) {
      this.#at = start;
      this.fail(rule);
    }
    return value;
  }

  /** RFC 3501 section 9 "nz-number": as `number`, its first digit is not 0. */
  nzNumber(rule = 'nz-number'): number {
    if (this.peek() === 0x30) this.fail(rule);
    return this.number(rule);
  }
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}
