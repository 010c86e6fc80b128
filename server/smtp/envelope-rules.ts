/** What MAIL and RCPT are answered (RFC 5321 sections 3.3 and 3.6), thrown as SmtpRefusal or MailError. */
import type { SMTPServerAddress, SMTPServerSession } from 'smtp-server';
import type { Logger } from '#shared/observe/logger.ts';
import { formatAddress, parseAddress } from '#shared/text/address.ts';
import type { RecipientDirectory, RecipientVerdict } from '#server/mail/ports.ts';
import { recipientReply, replies, SmtpRefusal } from './fault-to-reply.ts';
import type { SmtpOptions } from './smtp-options.ts';
import { readAddress, transactionOf, userOf } from './transaction.ts';

// RFC 1870, RFC 6152, RFC 6531, RFC 4954 section 5 (its value is nobody's identity here and is not used).
const mailParameters = new Set(['SIZE', 'BODY', 'SMTPUTF8', 'AUTH']);

type Resolved = { readonly address: string; readonly verdict: RecipientVerdict };

export class EnvelopeRules {
  readonly #directory: RecipientDirectory;
  readonly #options: SmtpOptions;
  readonly #logger: Logger;

  constructor(directory: RecipientDirectory, options: SmtpOptions, logger: Logger) {
    this.#directory = directory;
    this.#options = options;
    this.#logger = logger;
  }

  async checkMail(given: SMTPServerAddress, session: SMTPServerSession): Promise<void> {
    if (Object.keys(given.args || {}).some((name) => !mailParameters.has(name))) {
      throw new SmtpRefusal(replies.unknownParameter);
    }
    const transaction = transactionOf(session);
    const size = given.args ? given.args['SIZE'] : undefined;
    transaction.declaredBytes = typeof size === 'string' ? Number(size) : 0;
    // RFC 5321 section 4.5.5: <> is the sender of what must not be answered.
    if (given.address !== '') {
      transaction.sender = formatAddress(readAddress(given.address, session, replies.badSender));
    }
    const user = userOf(session);
    // Asked for <> too: whoever was suspended after the login sends nothing more.
    if (user !== null && !(await this.#directory.maySendAs(user.accountId, transaction.sender || user.address))) {
      throw new SmtpRefusal(replies.senderNotAllowed);
    }
  }

  async checkRecipient(given: SMTPServerAddress, session: SMTPServerSession): Promise<void> {
    // NOTIFY and ORCPT belong to DSN (RFC 3461), which is not announced.
    if (given.args) throw new SmtpRefusal(replies.unknownParameter);
    const transaction = transactionOf(session);
    const { address, verdict } =
      given.address.toLowerCase() === 'postmaster'
        ? await this.#postmaster(transaction.declaredBytes)
        : await this.#resolve(given.address, session, transaction.declaredBytes);
    switch (verdict.kind) {
      case 'local':
        // An alias may stand for many: the bound is on what one transaction would write.
        if (
          transaction.recipients.size > 0 &&
          transaction.accountsWith(verdict.accounts) > this.#options.maxRecipients
        ) {
          throw new SmtpRefusal(replies.tooManyRecipients);
        }
        transaction.add(address, verdict.accounts);
        return;
      case 'remote': {
        const isUser = this.#options.kind === 'submission' || userOf(session) !== null;
        throw new SmtpRefusal(isUser ? replies.cannotSendOut : replies.relayingDenied);
      }
      default:
        throw new SmtpRefusal(recipientReply(verdict));
    }
  }
  async #resolve(text: string, session: SMTPServerSession, declaredBytes: number): Promise<Resolved> {
    const address = formatAddress(readAddress(text, session, replies.badRecipient));
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
