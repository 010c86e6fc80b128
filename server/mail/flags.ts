/**
 * RFC 3501 section 2.3.2 system flags as bits. \Recent is not one of them: it belongs to a session.
 * Bits 5 to 15 are free.
 */
export const flagBits = {
  seen: 1,
  answered: 2,
  flagged: 4,
  deleted: 8,
  draft: 16,
} as const;

export type SystemFlag = keyof typeof flagBits;

/** Any of `flagBits`, or-ed. */
export type FlagBits = number;

/** A STORE's change. Keywords are as the client spelled them; they are compared without ASCII case. */
export type FlagChange = {
  readonly mode: 'add' | 'remove' | 'replace';
  readonly flags: FlagBits;
  readonly keywords: readonly string[];
};
