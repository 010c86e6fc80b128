declare const brand: unique symbol;
type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** A row's identity inside one database; never shown to users as it is. */
export type AccountId = Brand<bigint, 'AccountId'>;
export type MailboxId = Brand<bigint, 'MailboxId'>;
/** One message of one account, whatever mailboxes it lies in (RFC 8474 "EMAILID"). */
export type EmailId = Brand<bigint, 'EmailId'>;

/** RFC 3501 section 2.3.1.1: 32 bit, never 0, ascending in a mailbox. */
export type Uid = Brand<number, 'Uid'>;

/**
 * RFC 7162 section 3.1: a 63-bit number. We count in doubles, exact below 2^53: at a million
 * changes a second to one account that lasts 285 years.
 */
export type ModSeq = Brand<number, 'ModSeq'>;

/** SHA-256 of a message's bytes as received, 64 lower-case hexadecimal digits. */
export type BlobHash = Brand<string, 'BlobHash'>;
