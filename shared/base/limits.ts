/** Every bound on what a peer may send or ask for, with its unit and source. */

/** Bytes of one message we accept (a common default; announced by SIZE, RFC 1870). */
export const defaultMaxMessageBytes = 50 * 1024 * 1024;

/** Bytes of a message held in memory; a larger one goes through a spool file. */
export const maxMessageBytesInMemory = 1024 * 1024;

/** Bytes of one piece of a large blob in the database. */
export const blobPieceBytes = 256 * 1024;

/** RFC 5321 section 6.3: a message with more Received fields than this is looping. */
export const maxReceivedFields = 100;

/** Recipients of one SMTP transaction; RFC 5321 section 4.5.3.1.8 asks for at least 100. */
export const maxRecipients = 1000;

/** Bytes of one IMAP command line without its literals; RFC 7162 section 4 asks for 8192 at least. */
export const maxImapLineBytes = 64 * 1024;

/** Bytes of a command's tag: it is sent back with the answer. */
export const maxImapTagBytes = 255;

/** Bytes of all literals of one IMAP command other than an APPEND message. */
export const maxImapLiteralBytes = 256 * 1024;

/** Nested parentheses in one IMAP command (search keys). */
export const maxImapNesting = 50;

/** Nested MIME parts that are told apart; deeper ones are one opaque body. */
export const maxMimeDepth = 100;

/** MIME parts of one message that are told apart. */
export const maxMimeParts = 10_000;

/** Bytes of one header section that are parsed; what is beyond is body to the index, never lost. */
export const maxHeaderBytes = 8 * 1024 * 1024;

/** Addresses that the ENVELOPEs of one message and the messages in it tell; beyond they are only in the header. */
export const maxEnvelopeAddresses = 50_000;

/** Keywords a mailbox can hold: one bit each in its pages. */
export const maxKeywords = 128;

/** Bytes of one keyword. */
export const maxKeywordBytes = 255;

/** Bytes of a mailbox name in UTF-8, and its levels. */
export const maxMailboxNameBytes = 1000;
export const maxMailboxLevels = 50;

/** Mailboxes of one account. */
export const maxMailboxes = 10_000;
