import type { SMTPServerEnvelope, SMTPServerSession } from 'smtp-server';
import { parseAddress, type MailAddress } from '#shared/text/address.ts';
import type { AccountId } from '#shared/base/ids.ts';
import type { SentMessage } from '#server/bounce/bounce-address.ts';
import type { Recipient } from '#server/delivery/deliver-message.ts';
import type { NewRecipient } from '#server/mail/outbound-ports.ts';
import { noMailOptions, type MailOptions } from '#server/submission/mail-options.ts';
import { replies, SmtpRefusal, type Reply } from './fault-to-reply.ts';

const ascii = /^[\x00-\x7f]*$/;

/** Who logged in: an account, or a login that hands in mail and has no account. */
export type SmtpUser =
  | { readonly accountId: AccountId; readonly address: string }
  | { readonly accountId: null; readonly credentialId: bigint; readonly address: string };

/** What is known of a mail transaction beside the library's envelope. */
export class Transaction {
  sender = '';
  /** Accounts by recipient address, as it was accepted. */
  readonly recipients = new Map<string, readonly Recipient[]>();
  /** Addresses elsewhere, by themselves. */
  readonly remote = new Map<string, NewRecipient>();
  /** Addresses elsewhere that aliases here name, and the alias. */
  readonly forwards = new Map<string, string>();
  /** Messages of ours whose return path is among the recipients. */
  readonly sent: SentMessage[] = [];
  /** Recipients here of which the sender wants to hear that they got it. */
  readonly receipts: NewRecipient[] = [];
  options: MailOptions = noMailOptions;
  readonly #accountIds = new Set<AccountId>();
  /** The least that a recipient's domain takes; null: none asks for less than the server does. */
  maxMessageBytes: number | null = null;
  /** Bytes that MAIL declared with SIZE, 0 where it didn't. */
  declaredBytes = 0;

  /** Accounts that get a copy if those of `found` are added: each gets one, however many addresses lead to it. */
  accountsWith(found: readonly Recipient[]): number {
    return found.reduce(
      (count, { accountId }) => count + (this.#accountIds.has(accountId) ? 0 : 1),
      this.#accountIds.size,
    );
  }

  add(address: string, accounts: readonly Recipient[], forwards: readonly string[]): void {
    this.recipients.set(address, accounts);
    for (const forward of forwards) this.forwards.set(forward, address);
    for (const { accountId } of accounts) this.#accountIds.add(accountId);
  }
}

/** The library makes a new envelope with each reset, so what hangs on it ends with the transaction. */
const transactions = new WeakMap<SMTPServerEnvelope, Transaction>();

export function transactionOf(session: SMTPServerSession): Transaction {
  const known = transactions.get(session.envelope);
  if (known !== undefined) return known;
  const transaction = new Transaction();
  transactions.set(session.envelope, transaction);
  return transaction;
}

export function userOf(session: SMTPServerSession): SmtpUser | null {
  return (session.user as SmtpUser | false | undefined) || null;
}

/** The address in its canonical form; refuses what is none, and UTF-8 without SMTPUTF8 (RFC 6531 section 3.5). */
export function readAddress(text: string, session: SMTPServerSession, ifBad: Reply): MailAddress {
  const address = parseAddress(text);
  if (address === null) throw new SmtpRefusal(ifBad);
  if (!ascii.test(address.localPart) && session.envelope.smtpUtf8 !== true)
    throw new SmtpRefusal(replies.needsSmtpUtf8);
  return address;
}
