/** The mailboxes that a process has opened last, as they were then. */
import type { OpenedMailbox } from '#server/mail/ports.ts';
import { Remembered } from './remembered.ts';

/** By account and name. */
export type OpenedMailboxes = Remembered<OpenedMailbox>;

/** A mailbox of a million messages takes some 160 KB. */
const maxBytes = 8_000_000;
/** What each has beside its presence and keywords, roughly. */
const bytesBeside = 1_000;

export function rememberMailboxes(generation: () => number): OpenedMailboxes {
  return new Remembered({ generation, maxBytes, bytesOf });
}

function bytesOf({ mailbox, presence }: OpenedMailbox): number {
  return mailbox.keywords.reduce((sum, { length }) => sum + length, presence.bytes + bytesBeside);
}
