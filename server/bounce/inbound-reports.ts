/**
 * Reports that come in: which message of ours they are about, and what follows. Only a return path that we made
 * (bounce-address.ts) shows that; a Message-ID can be known by anybody and changes nothing.
 */
import type { AccountId } from '#shared/base/ids.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { SpooledMessage } from '#server/mail/ports.ts';
import type { BounceAddresses, SentMessage } from './bounce-address.ts';
import { readReport, type Report, type ReportedRecipient } from './read-report.ts';
import type { SuppressionList } from './suppression.ts';

export type InboundReportsOptions = {
  readonly addresses: BounceAddresses;
  readonly suppression: Pick<SuppressionList, 'add'>;
  /** Hears of each recipient that a report tells of, and whether it is of a message of ours. */
  readonly onReport?: (kind: ReportKind, isMatched: boolean) => void;
  /** The account's own address; null: there is none any more. */
  readonly addressOf: (accountId: AccountId) => Promise<string | null>;
};

export type ReportKind = ReportedRecipient['action'] | 'complaint';

/** A recipient of incoming mail that is a return path of ours. */
export type BounceRecipient = { readonly sent: SentMessage; /** Who gets it. */ readonly address: string };

export interface InboundReports {
  /** Null: the address is not a return path of ours, or nobody sent that message any more. MailError unavailable. */
  find(address: string): Promise<BounceRecipient | null>;
  /** After the message was stored. `sent`: what its return paths say. Never rejects. */
  learn(message: SpooledMessage, sent: readonly SentMessage[], log: Logger): Promise<void>;
}

/** RFC 3463: the mailbox doesn't exist (5.1.x), or is not in use (5.2.1). Others speak of the message or of us. */
const hardStatus = /^5\.(1\.(0|1|2|3|6|10)|2\.1)$/;

export function createInboundReports(options: InboundReportsOptions): InboundReports {
  const { addresses, suppression, onReport, addressOf } = options;
  return {
    async find(address) {
      const sent = addresses.read(address);
      if (sent === null) return null;
      const own = await addressOf(sent.accountId);
      return own === null ? null : { sent, address: own };
    },
    async learn(message, sent, log) {
      try {
        const report = await readReport(message);
        if (report !== null) await apply(report, sent, log);
      } catch (error) {
        // The report is with its addressee; what it would have taught is told again by the next one.
        log.warn({ event: 'bounce.failed', err: error }, 'a report was not taken in');
      }
    },
  };

  async function apply(report: Report, sent: readonly SentMessage[], log: Logger): Promise<void> {
    if (report.kind === 'delivery') await applyDelivery(report, sent, log);
    else await applyComplaint(report, log);
  }

  async function applyDelivery(
    { recipients, messageId }: Extract<Report, { kind: 'delivery' }>,
    sent: readonly SentMessage[],
    log: Logger,
  ): Promise<void> {
    for (const { address, original, action, status, diagnostic } of recipients) {
      const names = [original, address].filter((name) => name !== null);
      const match = sent.find(({ wasSentTo }) => names.some((name) => wasSentTo(name) === true));
      const isHard = action === 'failed' && hardStatus.test(status);
      const about = { recipient: address, action, status, messageId, of: match?.traceId ?? sent[0]?.traceId ?? null };
      log.info(
        { event: 'bounce.received', ...about, isMatched: match !== undefined },
        'a report on a delivery came in',
      );
      onReport?.(action, match !== undefined);
      if (match === undefined || !isHard) continue;
      const name = names.find((each) => match.wasSentTo(each) === true) ?? address;
      const reason = `${status} ${diagnostic ?? ''}`.trim().slice(0, 300);
      await suppression.add({ domain: match.domain, address: name, origin: 'bounce', reason });
    }
  }

  async function applyComplaint(
    { type, mailFrom, recipients, messageId }: Extract<Report, { kind: 'complaint' }>,
    log: Logger,
  ): Promise<void> {
    const match = mailFrom === null ? null : addresses.read(mailFrom);
    const about = { type, messageId, of: match?.traceId ?? null };
    log.info({ event: 'complaint.received', ...about, isMatched: match !== null }, 'a complaint came in');
    onReport?.('complaint', match !== null);
    // RFC 5965 section 7.3: "not-spam" takes one back, and others are no complaints of a recipient.
    if (match === null || !['abuse', 'fraud', 'opt-out'].includes(type)) return;
    for (const address of recipients) {
      if (match.wasSentTo(address) !== true) continue;
      await suppression.add({ domain: match.domain, address, origin: 'complaint', reason: type });
    }
  }
}
