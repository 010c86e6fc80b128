/** Makes a segment of the texts of messages, one after the other. */
import { BitColumns } from './bit-columns.ts';
import { encodePlaces, maxColumnsPerEmail, type Placed, type Segment } from './segment.ts';
import { TextColumns } from './text-columns.ts';

/** The columns of a message that several have: what differs between its copies is only what stands before its header. */
export type SharedColumns = {
  /** The first two units of the header's text, fewer where it has no more. */
  readonly start: string;
  readonly header: readonly Uint8Array[];
  readonly body: readonly Uint8Array[];
  /** Not all of its text is told. */
  readonly isOpen: boolean;
};

/** Units of text that go into the first column of a shared header beside what it has. */
export const maxSharedPrefix = 1000;

export class SegmentBuilder {
  readonly #matrix = new BitColumns();
  readonly #placed: Placed[] = [];
  readonly #text = new TextColumns();

  #emailId = 0;
  #headerColumns = 0;
  #emailColumns = 0;

  get columns(): number {
    return this.#matrix.count;
  }

  get emails(): number {
    return this.#placed.length;
  }

  get firstEmail(): number | null {
    return this.#placed[0]?.emailId ?? null;
  }

  /** Ids ascend. The message's header follows, in one piece, then its body. `header` is folded. */
  begin(emailId: number, header: string): void {
    this.#emailId = emailId;
    this.#emailColumns = 0;
    this.#startText();
    this.add(header);
    this.#headerColumns = this.#emailColumns;
    this.#startText();
  }

  /** A piece of the body's folded text, with no more and no less between it and the last one than where it is looked for. */
  add(piece: string): void {
    this.#text.add(piece);
  }

  /** The message has all the columns that one may have: more of its text is of no use. */
  get isFull(): boolean {
    return this.#emailColumns >= maxColumnsPerEmail;
  }

  /** `isOpen`: not all of its text could be told. */
  end(isOpen = false): void {
    this.#placed.push({
      emailId: this.#emailId,
      headerColumns: this.#headerColumns,
      bodyColumns: this.#emailColumns - this.#headerColumns,
      isOpen: isOpen || this.isFull,
    });
  }

  /** A whole message; `prefix` is folded, has at most `maxSharedPrefix` units, and stands right before the header's text. */
  append(emailId: number, prefix: string, { start, header, body, isOpen }: SharedColumns): void {
    this.#emailId = emailId;
    this.#emailColumns = 0;
    let first: Uint8Array | null = null;
    if (header[0]) first = this.#copy(header[0]);
    this.#text.start(() => first ?? this.#addColumn());
    this.#text.add(prefix + start);
    for (const column of header.slice(1)) this.#copy(column);
    this.#headerColumns = this.#emailColumns;
    for (const column of body) this.#copy(column);
    this.end(isOpen);
  }

  /** Of what is ended, at least one message. The builder is of no use after that. */
  build(): Segment {
    const columns = this.#matrix.count;
    const { width, bits } = this.#matrix.rows();
    const last = this.#placed.pop() as Placed;
    this.#placed.push({ ...last, bodyColumns: last.bodyColumns + width * 8 - columns });
    const firstEmail = this.#placed[0]?.emailId ?? 0;
    return { firstEmail, emails: this.#placed.length, places: encodePlaces(firstEmail, this.#placed), width, bits };
  }

  #startText(): void {
    this.#text.start(() => (this.isFull ? null : this.#addColumn()));
  }

  #copy(column: Uint8Array): Uint8Array {
    const added = this.#addColumn();
    added.set(column);
    return added;
  }

  #addColumn(): Uint8Array {
    this.#emailColumns++;
    return this.#matrix.add();
  }
}
