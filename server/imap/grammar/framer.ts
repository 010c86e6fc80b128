/**
 * Makes commands of the bytes of an IMAP connection (RFC 3501 sections 2.2.1, 4.3 and 9 "command", "literal";
 * RFC 7888 LITERAL+), whatever the chunks they come in. Pure: it knows no socket and no session.
 * Every byte is looked at a bounded number of times, and what is held is bounded by shared/base/limits.ts,
 * but for the chunks pushed and not asked for yet: push only after `next` gave null.
 */
import { defaultMaxMessageBytes, maxImapLineBytes, maxImapLiteralBytes } from '#shared/base/limits.ts';
import { SyntaxFault } from '#shared/text/scanner.ts';
import { LiteralPending } from './astring.ts';
import { ByteQueue } from './byte-queue.ts';
import { CharsetFault } from './charset.ts';
import type { AppendCommand, Frame } from './frame.ts';
import { GatheredBytes } from './gathered-bytes.ts';
import { parseCommand, tagOf, verbOf } from './parse-command.ts';

const lf = 0x0a;
const cr = 0x0d;

/**
 * A command is parsed as far as it has come at its first literals, so that nonsense is answered instead of
 * asking for more of it. Not at every one: that would be quadratic.
 */
const earlyParses = 4;

type Announcement = { readonly bytes: number; readonly synchronizing: boolean };

type State =
  /** Inside a line: of a command, asked for by `expectLine`, to be dropped, or behind the message of an APPEND. */
  | { readonly at: 'line'; readonly of: 'command' | 'raw' | 'refused' | 'append-end' }
  /** Inside a literal that is gathered. */
  | { readonly at: 'literal'; readonly synchronizing: boolean }
  /** Inside a literal that is dropped. */
  | { readonly at: 'skip' }
  /** Before or inside the message of an APPEND. */
  | { readonly at: 'message'; readonly synchronizing: boolean }
  | { readonly at: 'closed' };

export class ImapFramer {
  readonly #queue = new ByteQueue();
  /** The command so far, line ends and literals as they came. */
  readonly #gathered = new GatheredBytes();
  #state: State = { at: 'line', of: 'command' };
  /** Where the present line begins in #gathered. */
  #lineStart = 0;
  #lineBytes = 0;
  #literalBytes = 0;
  #skippedBytes = 0;
  #announcements = 0;
  /** Of the running command, known once a literal was announced. */
  #head: { readonly tag: string; readonly verb: string } | null = null;
  /** Bytes to come of the literal that #state is in, and whether any of it was taken. */
  #left = 0;
  #begun = false;

  push(chunk: Buffer): void {
    if (this.#state.at !== 'closed') this.#queue.push(chunk);
  }

  /** The next frame; null when more bytes are needed, or `takeLiteral` has to be called. */
  next(): Frame | null {
    for (;;) {
      switch (this.#state.at) {
        case 'closed':
          return null;
        case 'message':
          if (this.#left > 0) return null;
          this.#state = { at: 'line', of: 'append-end' };
          break;
        case 'literal':
        case 'skip':
          if (!this.#readLiteral(this.#state.at === 'literal')) return null;
          break;
        case 'line': {
          const read = this.#readLine();
          if (read === 'more') return null;
          const frame = read === 'too-long' ? this.#close(this.#tag(), lineTooLong) : this.#endOfLine();
          if (frame) return frame;
        }
      }
    }
  }

  /** The next frame is a `line`, whatever is in it: AUTHENTICATE's data, the DONE of IDLE. */
  expectLine(): void {
    if (this.#state.at === 'closed') return;
    if (this.#state.at !== 'line' || this.#lineStart > 0) throw new Error('expectLine inside a command');
    this.#state = { at: 'line', of: 'raw' };
  }

  /** Bytes of the message of the running APPEND that were not taken yet. */
  get literalLeft(): number {
    return this.#state.at === 'message' ? this.#left : 0;
  }

  /** Bytes of the message of the running APPEND that are at hand, as they came; null when there are none. */
  takeLiteral(maxBytes = Infinity): Buffer | null {
    if (this.#state.at !== 'message') return null;
    this.#begun = true;
    const head = this.#queue.head();
    const count = Math.min(head?.length ?? 0, this.#left, maxBytes);
    if (!head || count === 0) return null;
    this.#queue.drop(count);
    this.#left -= count;
    return head.subarray(0, count);
  }

  /**
   * Refuses the literal that was announced last: the message of an APPEND, or one of a `continue`. What the
   * peer sends of it regardless is dropped, with the rest of the command, and the next frame is of the next
   * command. A synchronizing literal is never sent when the peer hears no `+`; it counts as asked for from the
   * first `takeLiteral` on.
   */
  skipLiteral(): void {
    const state = this.#state;
    if (state.at !== 'message' && state.at !== 'literal') return;
    if (state.synchronizing && !this.#begun) this.#reset();
    else this.#skip(this.#left);
  }

  /** Forgets everything that has arrived (RFC 3501 section 6.2.1: what was sent in clear is void after STARTTLS). */
  discard(): void {
    this.#queue.clear();
    if (this.#state.at !== 'closed') this.#reset();
  }

  #reset(): void {
    this.#state = { at: 'line', of: 'command' };
    this.#gathered.clear();
    this.#lineStart = 0;
    this.#lineBytes = 0;
    this.#literalBytes = 0;
    this.#skippedBytes = 0;
    this.#announcements = 0;
    this.#head = null;
    this.#left = 0;
    this.#begun = false;
  }

  #skip(bytes: number): void {
    this.#skippedBytes += bytes;
    this.#left = bytes;
    this.#state = { at: 'skip' };
  }

  #close(tag: string | null, text: string): Frame {
    this.#reset();
    this.#queue.clear();
    this.#state = { at: 'closed' };
    return { kind: 'fault', tag, text, close: true };
  }

  /** The tag that a fault names: none where the command was answered before. */
  #tag(): string | null {
    if (this.#state.at !== 'line' || this.#state.of === 'raw' || this.#state.of === 'refused') return null;
    return this.#head ? this.#head.tag : tagOf(this.#gathered.latin1(0, this.#gathered.length));
  }

  /** True when the literal is complete. */
  #readLiteral(keep: boolean): boolean {
    while (this.#left > 0) {
      const head = this.#queue.head();
      if (!head) return false;
      const count = Math.min(head.length, this.#left);
      if (keep) this.#gathered.append(head.subarray(0, count));
      this.#queue.drop(count);
      this.#left -= count;
      this.#begun = true;
    }
    this.#begun = false;
    this.#startLine(keep ? 'command' : 'refused');
    return true;
  }

  #startLine(of: 'command' | 'refused'): void {
    // Nothing of a refused command is looked at again.
    if (of === 'refused') this.#gathered.clear();
    this.#state = { at: 'line', of };
    this.#lineStart = this.#gathered.length;
  }

  /** Gathers up to the end of the line. The limit counts all lines of a command, with their ends. */
  #readLine(): 'whole' | 'more' | 'too-long' {
    for (;;) {
      const head = this.#queue.head();
      if (!head) return 'more';
      const end = head.indexOf(lf) + 1;
      const wanted = end === 0 ? head.length : end;
      const count = Math.min(wanted, maxImapLineBytes - this.#lineBytes);
      this.#gathered.append(head.subarray(0, count));
      this.#queue.drop(count);
      this.#lineBytes += count;
      if (count < wanted) return 'too-long';
      if (end > 0) return 'whole';
    }
  }

  /** Where the present line's text ends. A LF alone ends a line too, as with Dovecot: typed-in sessions send it. */
  #textEnd(): number {
    const end = this.#gathered.length - 1;
    return end > this.#lineStart && this.#gathered.at(end - 1) === cr ? end - 1 : end;
  }

  #endOfLine(): Frame | null {
    const state = this.#state;
    if (state.at !== 'line') return null;
    const textEnd = this.#textEnd();
    if (state.of === 'raw') {
      const line = this.#gathered.copy(this.#lineStart, textEnd);
      this.#reset();
      return { kind: 'line', line };
    }
    const announced = this.#announcement(textEnd);
    if (state.of === 'command') return announced ? this.#announce(announced) : this.#command(textEnd);
    if (state.of === 'refused') return this.#refuse(null, announced);
    const tag = this.#tag();
    if (tag !== null && this.#gathered.latin1(this.#lineStart, textEnd).trimEnd() === '') {
      this.#reset();
      return { kind: 'append-end', tag };
    }
    return this.#refuse({ kind: 'fault', tag, text: 'APPEND: expected the end of the line', close: false }, announced);
  }

  /** RFC 3501 section 9 "literal", RFC 7888: a line that ends in "{number}" or "{number+}". */
  #announcement(textEnd: number): Announcement | null {
    const bytes = this.#gathered;
    let at = textEnd - 1;
    if (at < this.#lineStart || bytes.at(at) !== 0x7d) return null;
    const synchronizing = bytes.at(at - 1) !== 0x2b;
    if (!synchronizing) at--;
    const digitsEnd = at;
    let code = bytes.at(--at);
    while (at > this.#lineStart && code !== undefined && code >= 0x30 && code <= 0x39) code = bytes.at(--at);
    if (at < this.#lineStart || code !== 0x7b || at + 1 === digitsEnd) return null;
    return { bytes: Number(bytes.latin1(at + 1, digitsEnd)), synchronizing };
  }

  #command(textEnd: number): Frame | null {
    const text = this.#gathered.latin1(0, textEnd);
    try {
      const { tag, command } = parseCommand(text);
      this.#reset();
      return { kind: 'command', tag, command };
    } catch (error) {
      return this.#refuse(faultFrame(text, error), null);
    }
  }

  #announce(announced: Announcement): Frame | null {
    this.#announcements++;
    if (this.#announcements <= earlyParses) {
      const text = this.#gathered.latin1(0, this.#gathered.length);
      try {
        // The message of an APPEND is not part of the text.
        const { tag, command } = parseCommand(text);
        if (command.verb === 'APPEND') return this.#append(tag, command, announced);
      } catch (error) {
        const fault = faultFrame(text, error);
        // An empty literal is read at once; that the text ends behind it is no fault, the rest is still to come.
        const mayGoOn = error instanceof LiteralPending || (announced.bytes === 0 && tagOf(text) !== null);
        if (!mayGoOn) return this.#refuse(fault, announced);
      }
      this.#head ??= { tag: tagOf(text) ?? '*', verb: verbOf(text) };
    }
    return this.#gatherLiteral(announced);
  }

  #append(tag: string, command: AppendCommand, { bytes, synchronizing }: Announcement): Frame {
    this.#left = bytes;
    this.#state = { at: 'message', synchronizing };
    this.#head = { tag, verb: 'APPEND' };
    // The line that ends the command is all that is gathered from here on.
    this.#gathered.clear();
    this.#lineStart = 0;
    this.#lineBytes = 0;
    return { kind: 'append', tag, command, literalBytes: bytes, synchronizing };
  }

  #gatherLiteral({ bytes, synchronizing }: Announcement): Frame | null {
    this.#literalBytes += bytes;
    if (this.#literalBytes > maxImapLiteralBytes) {
      const tag = this.#tag();
      if (!synchronizing) return this.#close(tag, literalTooLong);
      return this.#refuse({ kind: 'fault', tag, text: literalTooLong, close: false }, null);
    }
    this.#left = bytes;
    this.#state = { at: 'literal', synchronizing };
    return synchronizing && this.#head ? { kind: 'continue', ...this.#head } : null;
  }

  /**
   * Gives `frame` and drops what is left of the command. A synchronizing literal is not sent after a refusal,
   * so the command ends with its announcement; any other one follows at once.
   */
  #refuse(frame: Frame | null, announced: Announcement | null): Frame | null {
    if (!announced || announced.synchronizing) {
      this.#reset();
      return frame;
    }
    if (this.#skippedBytes + announced.bytes > defaultMaxMessageBytes) return this.#close(this.#tag(), literalTooLong);
    this.#skip(announced.bytes);
    return frame;
  }
}

const lineTooLong = `expected a line of at most ${maxImapLineBytes} bytes`;
const literalTooLong = `expected literals of at most ${maxImapLiteralBytes} bytes in all`;

function faultFrame(text: string, error: unknown): Frame {
  if (!(error instanceof SyntaxFault)) throw error;
  const tag = tagOf(text);
  const verb = verbOf(text);
  const sentence = verb === '' ? error.message : `${verb}: ${error.message}`;
  if (tag !== null && error instanceof CharsetFault) return { kind: 'bad-charset', tag, text: sentence };
  return { kind: 'fault', tag, text: sentence, close: false };
}
