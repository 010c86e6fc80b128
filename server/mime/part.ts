/**
 * Where one MIME entity (RFC 2045 section 2.4) lies in a message. Offsets count bytes from the first byte
 * of the message as received, without the trace fields that a delivery puts before it.
 */
export type Part = {
  /** First byte of the entity's header. */
  readonly headerStart: number;
  /** First byte after the empty line that ends the header. */
  readonly bodyStart: number;
  /** First byte after the body; the line break before a boundary belongs to the boundary (RFC 2046 section 5.1.1). */
  readonly end: number;
  /** Lower case, for example `text` and `plain`; defaults of RFC 2045 section 5.2 filled in. */
  readonly type: string;
  readonly subtype: string;
  /** Lower case, as written; null where the entity names none. */
  readonly charset: string | null;
  /** Content-Transfer-Encoding, lower case; `7bit` where none is given. */
  readonly encoding: string;
  /** The parts of a multipart; the encapsulated message of a message/rfc822 (exactly one); else none. */
  readonly children: readonly Part[];
};

/** What is known of a message when it is stored, so that reading it never parses it again. */
export type MessageIndex = {
  /**
   * RFC 3501 section 7.4.2 ENVELOPE, ready to be sent. A binary string: one code unit below 256 stands for
   * one byte, so it is written as latin1 and keeps raw 8-bit header bytes as they came.
   */
  readonly envelope: string;
  /** RFC 3501 section 7.4.2 BODYSTRUCTURE with extension data, ready to be sent; a binary string too. */
  readonly bodystructure: string;
  readonly root: Part;
  /** The Date field, where it can be read; SEARCH SENTBEFORE and its kin look at its calendar day as written. */
  readonly sentAt: { readonly at: Date; /** As written in the field, YYYY-MM-DD. */ readonly day: string } | null;
  /** Number of Received fields in the header (RFC 5321 section 6.3). */
  readonly receivedFields: number;
  /** Bytes that RFC 5322 doesn't allow: a CR or LF alone, a NUL. */
  readonly hasBareCr: boolean;
  readonly hasBareLf: boolean;
  readonly hasNul: boolean;
};
