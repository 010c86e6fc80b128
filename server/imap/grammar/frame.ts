import type { ImapCommand } from './command.ts';

export type AppendCommand = Extract<ImapCommand, { verb: 'APPEND' }>;

/** What the framer makes of the bytes of a connection, in order. */
export type Frame =
  | { readonly kind: 'command'; readonly tag: string; readonly command: ImapCommand }
  /**
   * An APPEND up to its message, of which `literalBytes` follow. The caller refuses (`skipLiteral`) or takes
   * them (`takeLiteral`, for a synchronizing literal after it has sent `+`); then comes `append-end` or a fault.
   */
  | {
      readonly kind: 'append';
      readonly tag: string;
      readonly command: AppendCommand;
      readonly literalBytes: number;
      readonly synchronizing: boolean;
    }
  /** The line of the APPEND ended behind its message, as it must: only now is the command whole. */
  | { readonly kind: 'append-end'; readonly tag: string }
  /**
   * The peer waits for `+` before it sends a literal within bounds (RFC 3501 section 7.5). `verb` is in
   * capitals as written. Instead of sending it, the caller may refuse the command and call `skipLiteral`.
   */
  | { readonly kind: 'continue'; readonly tag: string; readonly verb: string }
  /** A line asked for by `expectLine`, without its line end. */
  | { readonly kind: 'line'; readonly line: Buffer }
  /** SEARCH names a CHARSET that can't be decoded: NO [BADCHARSET (US-ASCII UTF-8)], RFC 3501 section 6.4.4. */
  | { readonly kind: 'bad-charset'; readonly tag: string; readonly text: string }
  /**
   * BAD, untagged where `tag` is null. The framer goes on with the next command by itself; with `close` it
   * can't find it, gives no further frame, and the connection has to end.
   */
  | { readonly kind: 'fault'; readonly tag: string | null; readonly text: string; readonly close: boolean };
