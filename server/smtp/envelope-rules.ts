/** What MAIL and RCPT are answered (RFC 5321 sections 3.3 and 3.6), thrown as SmtpRefusal or MailError. */
import type { SMTPServerAddress, SMTPServerSession } from 'smtp-server';
import { formatAddress } from '#shared/text/address.ts';
import type { RecipientDirectory } from '#server/mail/ports.ts';
import { recipientReply, replies, SmtpRefusal } from './fault-to-reply.ts';
import type { SmtpOptions } from './smtp-options.ts';
import { readAddress, transactionOf, userOf } from './transaction.ts';

// RFC 1870, RFC 6152, RFC 6531, RFC 4954 section 5 (its value is nobody's identity here and is not used).
const mailParameters = new Set(['SIZE', 'BODY', 'SMTPUTF8', 'AUTH']);

export class EnvelopeRules {
  readonly #directory: RecipientDirectory;
  readonly #options: SmtpOptions;

  constructor(directory: RecipientDirectory, options: SmtpOptions) {
    this.#directory = directory;
    this.#options = options;
  }

  async checkMail(given: SMTPServerAddress, session: SMTPServerSession): Promise<void> {
    if (Object.keys(given.args || {}).some((name) => !mailParameters.has(name))) {
      throw new SmtpRefusal(replies.unknownParameter);
    }
    const transaction = transactionOf(session);
    const size = given.args ? given.args['SIZE'] : undefined;
    transaction.declaredBytes = typeof size === 'string' ? Number(size) : 0;
    // RFC 5321 section 4.5.5: <> is the sender of what must not be answered.
    if (given.address === '') return;
    transaction.sender = formatAddress(readAddress(given.address, session, replies.badSender));
    const user = userOf(session);
    if (user !== null && !(await this.#directory.maySendAs(user.accountId, transaction.sender))) {
      throw new SmtpRefusal(replies.senderNotAllowed);
    }
  }

  async checkRecipient(given: SMTPServerAddress, session: SMTPServerSession): Promise<void> {
    // NOTIFY and ORCPT belong to DSN (RFC 3461), which is not announced.
    if (given.args) throw new SmtpRefusal(replies.unknownParameter);
    // RFC 5321 section 4.1.1.3: <postmaster> needs no domain.
    const text = given.address.toLowerCase() === 'postmaster' ? this.#options.postmaster : given.address;
    const address = formatAddress(readAddress(text, session, replies.badRecipient));
    const transaction = transactionOf(session);
    const verdict = await this.#directory.resolveRecipient(address, transaction.declaredBytes);
    switch (verdict.kind) {
      case 'local':
        // An alias may stand for many: the bound is on what one transaction would write.
        if (transaction.accounts > 0 && transaction.accounts + verdict.accounts.length > this.#options.maxRecipients) {
          throw new SmtpRefusal(replies.tooManyRecipients);
        }
        transaction.recipients.set(address, verdict.accounts);
        return;
      case 'remote': {
        const isUser = this.#options.kind === 'submission' || userOf(session) !== null;
        throw new SmtpRefusal(isUser ? replies.cannotSendOut : replies.relayingDenied);
      }
      default:
        throw new SmtpRefusal(recipientReply(verdict));
    }
  }
}
