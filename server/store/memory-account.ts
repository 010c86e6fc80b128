import type { AccountId, MailboxId, ModSeq } from '#shared/base/ids.ts';
import { maxMailboxes } from '#shared/base/limits.ts';
import { MailError } from '#server/mail/mail-error.ts';
import { canonicalMailboxName, inbox, isBelow, newMailboxName, parentsOf } from '#server/mail/mailbox-name.ts';
import { initialMailboxes, type SpecialUse } from '#server/mail/mailbox.ts';
import { MemoryMailbox, sizeOf, type NewMessage } from './memory-mailbox.ts';

/** One account of the store in memory: its mailboxes and what is counted for the account as a whole. */
export class MemoryAccount {
  readonly id: AccountId;
  readonly limitBytes: number | null;
  readonly #nextMailboxId: () => MailboxId;
  readonly #mailboxes = new Map<string, MemoryMailbox>();
  readonly #subscriptions = new Set<string>();
  /** The UIDVALIDITY of the last mailbox that had a name and has it no more. */
  readonly #pastUidValidity = new Map<string, number>();
  #lastUidValidity = 0;
  #modSeq = 0;

  constructor(id: AccountId, limitBytes: number | null, nextMailboxId: () => MailboxId) {
    this.id = id;
    this.limitBytes = limitBytes;
    this.#nextMailboxId = nextMailboxId;
    for (const { name, specialUse } of initialMailboxes) {
      this.#make(name, specialUse, this.nextModSeq());
      this.#subscriptions.add(name);
    }
  }

  nextModSeq(): ModSeq {
    return ++this.#modSeq as ModSeq;
  }

  usedBytes(): number {
    let bytes = 0;
    for (const mailbox of this.#mailboxes.values()) bytes += mailbox.sizeBytes();
    return bytes;
  }

  /** Refuses over-quota. */
  checkQuotaFor(messages: readonly NewMessage[]): void {
    const bytes = messages.reduce((sum, message) => sum + sizeOf(message), 0);
    if (this.limitBytes !== null && this.usedBytes() + bytes > this.limitBytes) {
      throw new MailError({ kind: 'over-quota', limitBytes: this.limitBytes });
    }
  }

  mailboxesByName(): readonly MemoryMailbox[] {
    return [...this.#mailboxes.values()].sort((a, b) => compareNames(a.name, b.name));
  }

  findByName(name: string): MemoryMailbox | null {
    return this.#mailboxes.get(canonicalMailboxName(name)) ?? null;
  }

  /** Null is INBOX. */
  find(id: MailboxId | null): MemoryMailbox | null {
    if (id === null) return this.findByName(inbox);
    return [...this.#mailboxes.values()].find((mailbox) => mailbox.id === id) ?? null;
  }

  mailbox(id: MailboxId | null): MemoryMailbox {
    const mailbox = this.find(id);
    if (!mailbox) throw new MailError({ kind: 'no-such-mailbox', name: '' });
    return mailbox;
  }

  create(name: string, specialUse: SpecialUse | null): MemoryMailbox {
    const wanted = newMailboxName(name);
    if (this.#mailboxes.has(wanted)) throw new MailError({ kind: 'mailbox-exists', name: wanted });
    const missing = this.#missingParents(wanted);
    this.#checkRoomFor(missing.length + 1);
    const modSeq = this.nextModSeq();
    for (const parent of missing) this.#make(parent, null, modSeq);
    return this.#make(wanted, specialUse, modSeq);
  }

  delete(id: MailboxId): MemoryMailbox {
    const mailbox = this.mailbox(id);
    const { name } = mailbox;
    if (name === inbox) throw new MailError({ kind: 'not-permitted', reason: 'INBOX cannot be deleted' });
    if (this.#below(name).length > 0) throw new MailError({ kind: 'mailbox-has-children', name });
    this.#vacate(mailbox);
    return mailbox;
  }

  /** Resolves with the mailboxes that changed. */
  rename(id: MailboxId, to: string): readonly MemoryMailbox[] {
    const mailbox = this.mailbox(id);
    const wanted = newMailboxName(to);
    if (this.#mailboxes.has(wanted)) throw new MailError({ kind: 'mailbox-exists', name: wanted });
    if (mailbox.name === inbox) return this.#renameInbox(mailbox, wanted);
    if (isBelow(wanted, mailbox.name)) {
      throw new MailError({ kind: 'not-permitted', reason: 'A mailbox cannot be moved below itself' });
    }
    const moves = [mailbox, ...this.#below(mailbox.name)].map((moved) => ({
      moved,
      name: newMailboxName(wanted + moved.name.slice(mailbox.name.length)),
    }));
    const missing = this.#missingParents(wanted);
    this.#checkRoomFor(missing.length);
    const modSeq = this.nextModSeq();
    const made = missing.map((parent) => this.#make(parent, null, modSeq));
    for (const { moved } of moves) this.#vacate(moved);
    for (const { moved, name } of moves) {
      moved.name = name;
      // RFC 3501 section 2.3.1.1: the name may have had a later UIDVALIDITY than this mailbox's.
      if ((this.#pastUidValidity.get(name) ?? 0) >= moved.uidValidity) moved.uidValidity = ++this.#lastUidValidity;
      this.#mailboxes.set(name, moved);
    }
    return [...made, ...moves.map(({ moved }) => moved)];
  }

  subscriptionsByName(): readonly string[] {
    return [...this.#subscriptions].sort(compareNames);
  }

  setSubscribed(name: string, subscribed: boolean): void {
    if (!subscribed) {
      this.#subscriptions.delete(canonicalMailboxName(name));
      return;
    }
    const wanted = newMailboxName(name);
    if (!this.#subscriptions.has(wanted) && this.#subscriptions.size >= maxMailboxes) {
      throw new MailError({ kind: 'limit', reason: `an account has at most ${maxMailboxes} subscriptions` });
    }
    this.#subscriptions.add(wanted);
  }

  /** RFC 3501 section 6.3.5: INBOX stays, empty, and so do the levels below it. */
  #renameInbox(mailbox: MemoryMailbox, to: string): readonly MemoryMailbox[] {
    const uids = mailbox.uids(null);
    const messages = uids.flatMap((uid) => {
      const message = mailbox.message(uid);
      return message ? [{ ...message, ...mailbox.messageState(uid) }] : [];
    });
    const made = this.create(to, null);
    const modSeq = this.nextModSeq();
    made.add(messages, modSeq);
    mailbox.remove(uids, modSeq);
    return [mailbox, made];
  }

  #make(name: string, specialUse: SpecialUse | null, modSeq: ModSeq): MemoryMailbox {
    const uidValidity = ++this.#lastUidValidity;
    const made = new MemoryMailbox({ id: this.#nextMailboxId(), name, specialUse, uidValidity, modSeq });
    this.#mailboxes.set(name, made);
    return made;
  }

  #vacate({ name, uidValidity }: MemoryMailbox): void {
    this.#pastUidValidity.set(name, uidValidity);
    this.#mailboxes.delete(name);
  }

  #below(name: string): readonly MemoryMailbox[] {
    return [...this.#mailboxes.values()].filter((mailbox) => isBelow(mailbox.name, name));
  }

  #missingParents(name: string): readonly string[] {
    return parentsOf(name).filter((parent) => !this.#mailboxes.has(parent));
  }

  #checkRoomFor(more: number): void {
    if (this.#mailboxes.size + more > maxMailboxes) {
      throw new MailError({ kind: 'limit', reason: `an account has at most ${maxMailboxes} mailboxes` });
    }
  }
}

/** By the bytes of UTF-8, as databases do. */
function compareNames(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
