import { trimBlanks } from './header.ts';

/**
 * Lexical tokens of structured header fields (RFC 5322 section 3.2, RFC 2045 section 5.1), read without
 * refusing anything: what the grammar doesn't allow is taken as the nearest thing that it does. Linear in time.
 */
export class FieldLexer {
  readonly text: string;
  position = 0;
  /** Inside of the last comment that was skipped, with quoting removed. */
  comment: string | null = null;

  /** `text` is unfolded. */
  constructor(text: string) {
    this.text = text;
  }

  get done(): boolean {
    return this.position >= this.text.length;
  }

  /** The character here; empty at the end. */
  peek(): string {
    return this.text.charAt(this.position);
  }

  take(character: string): boolean {
    if (this.text.charAt(this.position) !== character || character === '') return false;
    this.position++;
    return true;
  }

  /** Skips white space and comments ("CFWS"); says whether there were any. */
  skipCfws(): boolean {
    const from = this.position;
    for (;;) {
      const character = this.peek();
      if (isSpace(character)) this.position++;
      else if (character === '(') this.#skipComment();
      else return this.position > from;
    }
  }

  /** Characters up to white space or one of `stops`. May be empty. */
  word(stops: string): string {
    const from = this.position;
    while (!this.done && !isSpace(this.peek()) && !stops.includes(this.peek())) this.position++;
    return this.text.slice(from, this.position);
  }

  /** The inside of the quoted-string that begins here, unquoted; one that isn't closed ends with the text. */
  quotedString(): string {
    return this.#delimited('"');
  }

  /** From `[` to `]`, both included (RFC 5322 section 3.4.1). */
  domainLiteral(): string {
    const from = this.position;
    const end = this.text.indexOf(']', from);
    this.position = end < 0 ? this.text.length : end + 1;
    return this.text.slice(from, this.position);
  }

  #delimited(close: string): string {
    let inside = '';
    let from = ++this.position;
    for (;;) {
      const character = this.peek();
      if (character === '' || character === close || character === '\\') {
        inside += this.text.slice(from, this.position);
        this.position++;
        if (character !== '\\') return inside;
        // The character after a backslash counts as itself.
        from = this.position++;
      } else this.position++;
    }
  }

  #skipComment(): void {
    let depth = 0;
    let inside = '';
    while (!this.done) {
      const character = this.peek();
      this.position++;
      if (character === '\\') inside += this.text.charAt(this.position++);
      else if (character === ')' && --depth === 0) break;
      else {
        if (character === '(') depth++;
        if (character !== '(' || depth > 1) inside += character;
      }
    }
    this.comment = trimBlanks(inside);
  }
}

function isSpace(character: string): boolean {
  return character === ' ' || character === '\t' || character === '\r' || character === '\n';
}
