/**
 * The IMAP commands as types (RFC 3501 section 6 and the extensions each names). The grammar makes them from
 * bytes, the handlers in ../commands take them; neither knows of the other.
 */
import type { FlagBits } from '#server/mail/flags.ts';

/** RFC 3501 section 9 "seq-number": a number, or '*' for the highest in use. */
export type SeqNumber = number | '*';
export type SequenceSet = readonly (readonly [first: SeqNumber, last: SeqNumber])[];

/** Flags of a flag-list: system flags as bits, the rest as keywords, as spelled. \Recent is refused by the grammar. */
export type FlagList = { readonly flags: FlagBits; readonly keywords: readonly string[] };

/** RFC 3501 section 9 "section": `path` is empty for the whole message. */
export type BodySection = {
  readonly path: readonly number[];
  readonly text:
    | null
    | { readonly kind: 'HEADER' | 'TEXT' | 'MIME' }
    | { readonly kind: 'HEADER.FIELDS' | 'HEADER.FIELDS.NOT'; readonly fields: readonly string[] };
};

/** RFC 3501 section 9 "fetch-att". ALL, FAST and FULL are expanded by the grammar. */
export type FetchItem =
  | { readonly kind: 'UID' | 'FLAGS' | 'INTERNALDATE' | 'RFC822.SIZE' | 'ENVELOPE' | 'BODYSTRUCTURE' }
  /** BODY without a section: the structure without extension data. */
  | { readonly kind: 'BODY' }
  | { readonly kind: 'RFC822' | 'RFC822.HEADER' | 'RFC822.TEXT' }
  | {
      readonly kind: 'BODY[]';
      readonly section: BodySection;
      readonly peek: boolean;
      /** `<offset.count>`; count is at least 1. */
      readonly partial: { readonly offset: number; readonly count: number } | null;
    };

/** RFC 3501 section 9 "search-key"; strings are decoded from the command's CHARSET already. Days are YYYY-MM-DD. */
export type SearchKey =
  | { readonly kind: 'ALL' | 'NEW' | 'OLD' | 'RECENT' }
  /** Both senses of a system flag: SEEN and UNSEEN, … */
  | { readonly kind: 'flag'; readonly flag: FlagBits; readonly set: boolean }
  | { readonly kind: 'keyword'; readonly keyword: string; readonly set: boolean }
  | { readonly kind: 'header'; readonly name: string; readonly contains: string }
  | { readonly kind: 'BODY' | 'TEXT'; readonly contains: string }
  | { readonly kind: 'internal-date' | 'sent-date'; readonly is: 'before' | 'on' | 'since'; readonly day: string }
  | { readonly kind: 'LARGER' | 'SMALLER'; readonly bytes: number }
  | { readonly kind: 'UID'; readonly set: SequenceSet }
  | { readonly kind: 'sequence'; readonly set: SequenceSet }
  | { readonly kind: 'NOT'; readonly key: SearchKey }
  | { readonly kind: 'OR'; readonly keys: readonly [SearchKey, SearchKey] }
  | { readonly kind: 'AND'; readonly keys: readonly SearchKey[] };

/** RFC 3501 section 6.3.10, and HIGHESTMODSEQ-free: what STATUS may ask for here. */
export type StatusItem = 'MESSAGES' | 'RECENT' | 'UIDNEXT' | 'UIDVALIDITY' | 'UNSEEN';

/** Mailbox names are Unicode, decoded from modified UTF-7; INBOX is in capitals. */
export type ImapCommand =
  | {
      readonly verb:
        'CAPABILITY' | 'NOOP' | 'LOGOUT' | 'STARTTLS' | 'CHECK' | 'CLOSE' | 'UNSELECT' | 'IDLE' | 'NAMESPACE';
    }
  /** RFC 2971; null is NIL. */
  | { readonly verb: 'ID'; readonly fields: ReadonlyMap<string, string | null> | null }
  | { readonly verb: 'LOGIN'; readonly user: string; readonly password: string }
  /** RFC 4959: the initial response, base64 as sent; `=` is an empty one. */
  | { readonly verb: 'AUTHENTICATE'; readonly mechanism: string; readonly initialResponse: string | null }
  | { readonly verb: 'ENABLE'; readonly capabilities: readonly string[] }
  | { readonly verb: 'SELECT' | 'EXAMINE' | 'DELETE' | 'SUBSCRIBE' | 'UNSUBSCRIBE'; readonly mailbox: string }
  /** RFC 6154 section 3 USE, without backslashes; null: not given. */
  | { readonly verb: 'CREATE'; readonly mailbox: string; readonly use: readonly string[] | null }
  | { readonly verb: 'RENAME'; readonly from: string; readonly to: string }
  | {
      readonly verb: 'LIST';
      readonly reference: string;
      readonly patterns: readonly string[];
      /** RFC 5258 selection and return options that RFC 6154 and CHILDREN need; empty for the plain form. */
      readonly select: readonly ('SUBSCRIBED' | 'SPECIAL-USE')[];
      readonly returns: readonly ('SUBSCRIBED' | 'CHILDREN' | 'SPECIAL-USE')[];
    }
  | { readonly verb: 'LSUB'; readonly reference: string; readonly pattern: string }
  | { readonly verb: 'STATUS'; readonly mailbox: string; readonly items: readonly StatusItem[] }
  /** The message itself follows as a literal that is streamed, not held: see framing. */
  | { readonly verb: 'APPEND'; readonly mailbox: string; readonly flags: FlagList; readonly internalDate: Date | null }
  | { readonly verb: 'EXPUNGE'; readonly uids: SequenceSet | null }
  | { readonly verb: 'SEARCH'; readonly byUid: boolean; readonly key: SearchKey }
  | { readonly verb: 'FETCH'; readonly byUid: boolean; readonly set: SequenceSet; readonly items: readonly FetchItem[] }
  | {
      readonly verb: 'STORE';
      readonly byUid: boolean;
      readonly set: SequenceSet;
      readonly mode: 'add' | 'remove' | 'replace';
      readonly silent: boolean;
      readonly list: FlagList;
    }
  | { readonly verb: 'COPY' | 'MOVE'; readonly byUid: boolean; readonly set: SequenceSet; readonly mailbox: string };

export type ImapVerb = ImapCommand['verb'];
