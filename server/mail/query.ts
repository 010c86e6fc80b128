import type { FlagBits } from './flags.ts';
import type { UidSet } from './uid-set.ts';

/**
 * What SEARCH asks for, with sequence numbers already turned into UIDs and \Recent into a UID set
 * (both belong to a session). RFC 3501 section 6.4.4.
 */
export type SearchQuery =
  | { readonly kind: 'all' }
  | { readonly kind: 'and'; readonly of: readonly SearchQuery[] }
  | { readonly kind: 'or'; readonly of: readonly SearchQuery[] }
  | { readonly kind: 'not'; readonly of: SearchQuery }
  | { readonly kind: 'uids'; readonly uids: UidSet }
  /** All of the bits are set. */
  | { readonly kind: 'flags'; readonly flags: FlagBits }
  | { readonly kind: 'keyword'; readonly keyword: string }
  /** RFC822.SIZE above or below so many bytes. */
  | { readonly kind: 'larger'; readonly bytes: number }
  | { readonly kind: 'smaller'; readonly bytes: number }
  /** `day` is YYYY-MM-DD; INTERNALDATE is looked at in UTC, the Date field as written (both without time and zone). */
  | { readonly kind: 'internal-date' | 'sent-date'; readonly is: 'before' | 'on' | 'since'; readonly day: string }
  /**
   * A header field of this name contains the text, decoded (RFC 2047) and without case; an empty text asks
   * whether the field is there.
   */
  | { readonly kind: 'header'; readonly name: string; readonly contains: string }
  /** The decoded text of the body, or of header and body, contains the text, without case. */
  | { readonly kind: 'body' | 'text'; readonly contains: string };
