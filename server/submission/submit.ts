/**
 * A message that one of our users hands in (RFC 6409): checked, counted, signed, and stored and queued in one
 * transaction. It must not know a protocol.
 */
import type { AccountId } from '#shared/base/ids.ts';
import type { Logger } from '#shared/observe/logger.ts';
import { canonicalAddress, formatAddress, parseAddress } from '#shared/text/address.ts';
import type { BounceAddresses } from '#server/bounce/bounce-address.ts';
import { deliveriesOf, type Recipient } from '#server/delivery/deliver-message.ts';
import { isAsciiFrom } from '#server/delivery/is-ascii.ts';
import { receivedField, type TraceFacts } from '#server/delivery/trace-header.ts';
import { flagBits } from '#server/mail/flags.ts';
import type {
  Accepted,
  MailAcceptor,
  NewOutbound,
  NewRecipient,
  Notices,
  QueueId,
  QueueRecipientId,
} from '#server/mail/outbound-ports.ts';
import type { Delivery, RecipientDirectory, SpooledMessage } from '#server/mail/ports.ts';
import type { Signer } from '#server/signing/dkim-signer.ts';
import { readAuthor, type Author } from './author.ts';
import type { MailOptions } from './mail-options.ts';
import type { SendingAccount, SendingLimits } from './sending-limits.ts';
import { SubmissionRefusal } from './submission-fault.ts';

export type SubmissionServices = {
  readonly acceptor: MailAcceptor;
  readonly directory: Pick<RecipientDirectory, 'maySendAs' | 'credentialMaySendAs'>;
  readonly limits: SendingLimits;
  readonly signer: Signer;
  /** Null: messages keep their sender as return path. */
  readonly bounceAddresses: BounceAddresses | null;
  readonly notices: Notices;
  readonly logger: Logger;
};

/** What was handed in. */
export type Handed = {
  readonly message: SpooledMessage;
  /** The account that logged in; null: none, as development mode allows. */
  readonly accountId: AccountId | null;
  /** In place of an account, the login of a MailCredential. */
  readonly credentialId: bigint | null;
  readonly facts: TraceFacts;
  /** Accounts here. */
  readonly local: readonly Recipient[];
  /** Addresses elsewhere, each once. */
  readonly remote: readonly NewRecipient[];
  /** Of the recipients here, those of which the sender wants to hear that they got it (RFC 3461 section 4.1). */
  readonly receipts: readonly NewRecipient[];
  readonly options: MailOptions;
  /** The client used SMTPUTF8 (RFC 6531). */
  readonly isSmtpUtf8: boolean;
  /** Bcc fields that were taken out, with CRLFs; the sender's own copy gets them back. */
  readonly blindFields: string;
};

export interface Submission {
  /**
   * Resolves after the commit. Throws SubmissionRefusal, MailError as MailStore.deliver, and then nothing is stored or
   * queued.
   */
  submit(handed: Handed): Promise<Accepted>;
}

/** Bytes of a header that is read as a whole. */
const maxHeaderBytes = 256 * 1024;

export function createSubmission(services: SubmissionServices): Submission {
  return {
    async submit(handed) {
      const accepted = await submit(services, handed);
      if (handed.receipts.length > 0) await tellDelivered(services, handed);
      return accepted;
    },
  };
}

async function submit(services: SubmissionServices, handed: Handed): Promise<Accepted> {
  const { message, accountId, credentialId, facts, local, remote } = handed;
  const header = await readHeader(message);
  const isNobody = accountId === null && credentialId === null;
  const author = isNobody ? null : readAuthor(header);
  if (author !== null) await assertAuthor(services, handed, author);
  const account = await sendingAccount(services, handed, author);
  if (account !== null) await takeRoom(services, account, handed);
  const deliveries = [...deliveriesOf(local, facts), ...sentCopy(account, handed)];
  if (remote.length === 0) return services.acceptor.accept(message, deliveries, []);
  const outbound = await outboundOf(services, handed, { header, author, account });
  return services.acceptor.accept(message, deliveries, [outbound]);
}

/** RFC 6409 section 6.1: who is named as author or sender must be who logged in, or somebody that it may be. */
async function assertAuthor(
  { directory }: SubmissionServices,
  { accountId, credentialId }: Handed,
  { from, sender }: Author,
): Promise<void> {
  const maySendAs = async (address: string): Promise<boolean> => {
    if (accountId !== null) return directory.maySendAs(accountId, address);
    return credentialId !== null && (await directory.credentialMaySendAs(credentialId, address));
  };
  const named = [
    ...from.map((address) => ({ field: 'From' as const, address })),
    ...(sender === null ? [] : [{ field: 'Sender' as const, address: sender }]),
  ];
  for (const { field, address } of named) {
    if (!(await maySendAs(address))) {
      throw new SubmissionRefusal({ kind: 'from-not-allowed', field, address });
    }
  }
}

function sendingAccount(
  { limits }: SubmissionServices,
  { accountId, credentialId }: Handed,
  author: Author | null,
): Promise<SendingAccount | null> {
  if (accountId !== null) return limits.account(accountId);
  const domain = domainOf(author?.from[0] ?? '');
  return credentialId === null || domain === null ? Promise.resolve(null) : limits.credential(credentialId, domain);
}

/** Mail to other systems alone is counted: what stays here harms nobody else. */
async function takeRoom(
  { limits }: SubmissionServices,
  account: SendingAccount,
  { accountId, local, remote }: Handed,
): Promise<void> {
  const most = account.recipientsPerMessage;
  if (most !== null && local.length + remote.length > most) {
    throw new SubmissionRefusal({ kind: 'too-many-recipients', most });
  }
  await limits.take(
    accountId,
    account,
    remote.map(({ address }) => canonical(address)),
  );
}

function sentCopy(account: SendingAccount | null, { accountId, blindFields }: Handed): readonly Delivery[] {
  if (account === null || accountId === null || account.sentMailboxId === null) return [];
  const prefix = Buffer.from(blindFields, 'latin1');
  return [{ accountId, mailboxId: account.sentMailboxId, prefix, flags: flagBits.seen, keywords: [] }];
}

type Known = {
  readonly header: string;
  readonly author: Author | null;
  readonly account: SendingAccount | null;
};

async function outboundOf(
  { signer, bounceAddresses }: SubmissionServices,
  handed: Handed,
  { header, author, account }: Known,
): Promise<NewOutbound> {
  const { message, accountId, facts, remote, options } = handed;
  const { sender, id: traceId } = facts;
  const senderDomain = domainOf(sender);
  // A message is signed for the domain that DMARC looks at (RFC 7489 section 3.1).
  const signingDomain = domainOf(author?.from[0] ?? sender) ?? account?.domain ?? null;
  const signatures = signingDomain === null ? Buffer.alloc(0) : await signer.sign(message, signingDomain);
  const recipients = remote.map(({ address }) => address);
  const isBouncing = bounceAddresses !== null && accountId !== null && senderDomain !== null;
  const isHeaderAscii = /^[\x00-\x7f]*$/.test(header);
  const isAddressAscii = /^[\x00-\x7f]*$/.test([sender, ...recipients].join(''));
  return {
    envelope: {
      ...options,
      origin: 'submission',
      accountId,
      domain: senderDomain ?? account?.domain ?? signingDomain ?? facts.hostname,
      sender,
      returnPath: isBouncing ? bounceAddresses.make({ accountId, domain: senderDomain, traceId, recipients }) : null,
      body: isHeaderAscii && (await isAsciiFrom(message, message.index.root.bodyStart)) ? '7bit' : '8bitmime',
      // RFC 6531 section 3.2: needed only where something in it is not ASCII.
      isSmtpUtf8: handed.isSmtpUtf8 && !(isHeaderAscii && isAddressAscii),
      traceId,
      messageId: author?.messageId ?? null,
    },
    prefix: Buffer.concat([signatures, Buffer.from(receivedField(facts))]),
    recipients: remote,
    heldFor: null,
  };
}

/** The message is accepted, whatever becomes of this. */
async function tellDelivered(
  { acceptor, notices, logger }: SubmissionServices,
  { message, accountId, facts, options, receipts, isSmtpUtf8 }: Handed,
): Promise<void> {
  const { sender, id: traceId, receivedAt } = facts;
  if (accountId === null || sender === '') return;
  try {
    await using report = await notices.build({
      kind: 'delivered',
      message: {
        ...options,
        id: 0n as QueueId,
        acceptedAt: receivedAt,
        content: {
          prefix: Buffer.alloc(0),
          hash: message.hash,
          rawSize: message.size,
          read: message.read.bind(message),
        },
        origin: 'submission',
        accountId,
        domain: domainOf(sender) ?? facts.hostname,
        sender,
        returnPath: null,
        body: '8bitmime',
        isSmtpUtf8,
        traceId,
        messageId: null,
      },
      recipients: receipts.map((recipient) => ({
        recipient: {
          ...recipient,
          id: 0n as QueueRecipientId,
          attempts: 1,
          crashes: 0,
          firstAttemptAt: receivedAt,
          delayNotices: 0,
        },
        lastAttemptAt: receivedAt,
        facts: null,
        reason: null,
        willRetryUntil: null,
      })),
    });
    const prefix = Buffer.from(`Return-Path: <>\r\nDelivered-To: ${sender}\r\n`);
    await acceptor.accept(report, [{ accountId, mailboxId: null, prefix, flags: 0, keywords: [] }], []);
  } catch (error) {
    logger.warn({ event: 'msg.notice-failed', message: traceId, err: error }, 'the sender was not told of a delivery');
  }
}

async function readHeader(message: SpooledMessage): Promise<string> {
  const { bodyStart } = message.index.root;
  if (bodyStart > maxHeaderBytes) throw new SubmissionRefusal({ kind: 'header-too-large' });
  let header = '';
  for await (const chunk of message.read(0, bodyStart)) header += chunk.toString('latin1');
  return header;
}

function canonical(address: string): string {
  const parsed = parseAddress(address);
  return parsed === null ? address : formatAddress(canonicalAddress(parsed));
}

function domainOf(address: string): string | null {
  return parseAddress(address)?.domain ?? null;
}
