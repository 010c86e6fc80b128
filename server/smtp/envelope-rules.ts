/** What MAIL and RCPT are answered (RFC 5321 sections 3.3 and 3.6), thrown as SmtpRefusal or MailError. */
import type { SMTPServerAddress, SMTPServerSession } from 'smtp-server';
import type { Clock } from '#shared/base/clock.ts';
import type { Logger } from '#shared/observe/logger.ts';
import { formatAddress, parseAddress } from '#shared/text/address.ts';
import type { InboundPolicy, RecipientDirectory, RecipientVerdict } from '#server/mail/ports.ts';
import {
  mailOptionNames,
  mailOptions,
  recipientOptionNames,
  recipientOptions,
  type Parameters,
} from '#server/submission/mail-options.ts';
import { SubmissionRefusal } from '#server/submission/submission-fault.ts';
import type { InboundReports } from '#server/bounce/inbound-reports.ts';
import { recipientReply, replies, SmtpRefusal, tooBigReply } from './fault-to-reply.ts';
import type { SmtpOptions } from './smtp-options.ts';
import { readAddress, transactionOf, userOf, type SmtpUser } from './transaction.ts';

// RFC 1870, RFC 6152, RFC 6531, RFC 4954 section 5 (its value is nobody's identity here and is not used).
const mailParameters: readonly string[] = ['SIZE', 'BODY', 'SMTPUTF8', 'AUTH'];

type Resolved = { readonly address: string; readonly verdict: RecipientVerdict };

export type EnvelopeServices = {
  readonly directory: RecipientDirectory;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Null: mail goes nowhere else. */
  readonly submission: object | null;
  /** Null: no address is a return path of ours. */
  readonly reports: Pick<InboundReports, 'find'> | null;
};

export class EnvelopeRules {
  readonly #directory: RecipientDirectory;
  readonly #options: SmtpOptions;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #sendsOut: boolean;
  readonly #reports: EnvelopeServices['reports'];

  constructor({ directory, logger, clock, submission, reports }: EnvelopeServices, options: SmtpOptions) {
    this.#directory = directory;
    this.#options = options;
    this.#logger = logger;
    this.#clock = clock;
    this.#sendsOut = submission !== null;
    this.#reports = reports;
  }

  async checkMail(given: SMTPServerAddress, session: SMTPServerSession): Promise<void> {
    const parameters = this.#parameters(given, [...mailParameters, ...(this.#hasExtensions ? mailOptionNames : [])]);
    const transaction = transactionOf(session);
    transaction.options = mailOptions(parameters, this.#clock.now(), session.secure);
    const size = parameters['SIZE'];
    transaction.declaredBytes = typeof size === 'string' ? Number(size) : 0;
    // RFC 5321 section 4.5.5: <> is the sender of what must not be answered.
    if (given.address !== '') {
      transaction.sender = formatAddress(readAddress(given.address, session, replies.badSender));
    }
    const user = userOf(session);
    // Asked for <> too: whoever was suspended after the login sends nothing more.
    if (user !== null && !(await this.#maySend(user, transaction.sender))) {
      throw new SmtpRefusal(replies.senderNotAllowed);
    }
  }

  #maySend(user: SmtpUser, sender: string): Promise<boolean> {
    if (user.accountId !== null) return this.#directory.maySendAs(user.accountId, sender || user.address);
    return this.#directory.credentialMaySendAs(user.credentialId, sender === '' ? null : sender);
  }

  async checkRecipient(given: SMTPServerAddress, session: SMTPServerSession): Promise<void> {
    const asked = recipientOptions(this.#parameters(given, this.#hasExtensions ? recipientOptionNames : []));
    const transaction = transactionOf(session);
    const { address, verdict } =
      given.address.toLowerCase() === 'postmaster'
        ? await this.#postmaster(transaction.declaredBytes)
        : await this.#resolve(given.address, session, transaction.declaredBytes);
    switch (verdict.kind) {
      case 'local':
        // It would be there before its time.
        if (transaction.options.holdUntil !== null) throw new SubmissionRefusal({ kind: 'held-local' });
        // An alias may stand for many: the bound is on what one transaction would write.
        if (
          transaction.recipients.size > 0 &&
          transaction.accountsWith(verdict.accounts) > this.#options.maxRecipients
        ) {
          throw new SmtpRefusal(replies.tooManyRecipients);
        }
        if (verdict.policy) this.#enforce(verdict.policy, session);
        transaction.add(address, verdict.accounts, verdict.forwards);
        if (asked.notify?.includes('success') === true) transaction.receipts.push({ address, ...asked });
        return;
      case 'remote': {
        const isUser = this.#options.kind === 'submission' || userOf(session) !== null;
        if (!isUser) throw new SmtpRefusal(replies.relayingDenied);
        if (!this.#sendsOut) throw new SmtpRefusal(replies.cannotSendOut);
        transaction.remote.set(address, { address, ...asked });
        return;
      }
      default:
        throw new SmtpRefusal(recipientReply(verdict));
    }
  }

  /** What is handed in by our users comes over TLS wherever it may, which is not this domain's to say. */
  #enforce({ maxMessageBytes, requiresTls }: InboundPolicy, session: SMTPServerSession): void {
    const transaction = transactionOf(session);
    const isInbound = this.#options.kind !== 'submission' && userOf(session) === null;
    if (requiresTls && isInbound && !session.secure) throw new SmtpRefusal(replies.startTlsFirst);
    if (maxMessageBytes === null) return;
    if (transaction.declaredBytes > maxMessageBytes) throw new SmtpRefusal(tooBigReply(maxMessageBytes));
    transaction.maxMessageBytes = Math.min(transaction.maxMessageBytes ?? maxMessageBytes, maxMessageBytes);
  }

  /** Submission's extensions are announced where mail is handed in. */
  get #hasExtensions(): boolean {
    return this.#sendsOut && this.#options.kind === 'submission';
  }

  #parameters({ args }: SMTPServerAddress, known: readonly string[]): Parameters {
    const parameters = (args || {}) as Parameters;
    if (Object.keys(parameters).some((name) => !known.includes(name))) throw new SmtpRefusal(replies.unknownParameter);
    return parameters;
  }

  async #resolve(text: string, session: SMTPServerSession, declaredBytes: number): Promise<Resolved> {
    const address = formatAddress(readAddress(text, session, replies.badRecipient));
    const bounce = (await this.#reports?.find(address)) ?? null;
    if (bounce !== null) {
      // A bounce goes to who sent the message.
      transactionOf(session).sent.push(bounce.sent);
      return { address, verdict: await this.#directory.resolveRecipient(bounce.address, declaredBytes) };
    }
    return { address, verdict: await this.#directory.resolveRecipient(address, declaredBytes) };
  }

  /** RFC 5321 section 4.5.1: <postmaster> needs no domain, and is to be taken by every server that takes mail. */
  async #postmaster(declaredBytes: number): Promise<Resolved> {
    const configured = await this.#resolvePostmaster(this.#options.postmaster, declaredBytes);
    if (configured) return configured;
    const found = await this.#directory.findPostmaster();
    const resolved = found === null ? null : await this.#resolvePostmaster(found, declaredBytes);
    if (resolved) return resolved;
    this.#logger.warn(
      { event: 'smtp.no-postmaster', address: this.#options.postmaster },
      'nobody gets mail to postmaster: give a Mailbox or MailAlias the address, or set POSTMASTER_ADDRESS',
    );
    return { address: this.#options.postmaster, verdict: { kind: 'unknown' } };
  }

  /** Null: nobody gets its mail. */
  async #resolvePostmaster(text: string, declaredBytes: number): Promise<Resolved | null> {
    const parsed = parseAddress(text);
    if (!parsed) return null;
    const address = formatAddress(parsed);
    const verdict = await this.#directory.resolveRecipient(address, declaredBytes);
    return verdict.kind === 'local' || verdict.kind === 'over-quota' ? { address, verdict } : null;
  }
}
