/** 256 UIDs' presence, flags, modseqs and keywords in one row (page number = uid >> 8). To be completed. */
export type MailboxPage = {
  readonly page: number;
  /** 32 bytes: bit `slot & 7` of byte `slot >> 3` says that UID `page * 256 + slot` is there. */
  readonly present: Uint8Array;
  /** 512 bytes: two a UID, big-endian FlagBits. */
  readonly flags: Uint8Array;
  /** 1024 bytes: four a UID, big-endian offset from `baseModSeq`. */
  readonly modSeqs: Uint8Array;
  /** Null: no keyword is set in the page; else 256 entries of equal width, bit n of an entry (little-endian by byte) is keyword n. */
  readonly keywords: Uint8Array | null;
  readonly baseModSeq: number;
  /** The highest modseq in the page, expunges included. */
  readonly maxModSeq: number;
};
