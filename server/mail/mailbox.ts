import type { MailboxId, ModSeq, Uid } from '#shared/base/ids.ts';

/** The hierarchy delimiter of mailbox names (RFC 3501 section 5.1.1). */
export const delimiter = '/';

/** RFC 6154 section 2, without the backslash, as stored. */
export type SpecialUse = 'Archive' | 'Drafts' | 'Junk' | 'Sent' | 'Trash';

/** What every account has from its first moment, in the order shown. `\Junk` is shown as Spam. */
export const initialMailboxes: readonly { readonly name: string; readonly specialUse: SpecialUse | null }[] = [
  { name: 'INBOX', specialUse: null },
  { name: 'Sent', specialUse: 'Sent' },
  { name: 'Drafts', specialUse: 'Drafts' },
  { name: 'Trash', specialUse: 'Trash' },
  { name: 'Spam', specialUse: 'Junk' },
  { name: 'Archive', specialUse: 'Archive' },
];

/** A mailbox as LIST, STATUS and SELECT see it, at one moment. */
export type Mailbox = {
  readonly id: MailboxId;
  /** Unicode (NFC), levels joined by `delimiter`; INBOX always in capitals. */
  readonly name: string;
  readonly specialUse: SpecialUse | null;
  /** RFC 3501 section 2.3.1.1; above every earlier mailbox's of the same name. */
  readonly uidValidity: number;
  readonly uidNext: Uid;
  readonly highestModSeq: ModSeq;
  readonly messages: number;
  readonly unseen: number;
  /** Sum of RFC822.SIZE (RFC 8438). */
  readonly sizeBytes: number;
  /** Messages with a UID from here on have not been seen by a read-write session: they are \Recent. */
  readonly recentFrom: Uid;
  /** Keywords of the mailbox; the place of each is its bit in the pages. */
  readonly keywords: readonly string[];
};
