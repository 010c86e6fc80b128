/** Reports to senders: built by `Notices`, addressed here, and written with the outcome they tell of. */
import type { Logger } from '#shared/observe/logger.ts';
import { MailError } from '#server/mail/mail-error.ts';
import type { NewOutbound, Notice, Notices, OutboundMessage } from '#server/mail/outbound-ports.ts';
import type { InHand, NoticeMail, Settlement } from '#server/mail/outbound-queue.ts';
import type { Delivery, RecipientDirectory } from '#server/mail/ports.ts';
import { queueName } from './queue-log.ts';
import type { Ledger } from './ledger.ts';

export type NoticeDeskOptions = {
  readonly notices: Notices;
  readonly directory: Pick<RecipientDirectory, 'resolveRecipient'>;
  readonly ledger: Ledger;
  readonly logger: Logger;
};

const laterMs = 60_000;

type Item = { readonly inHand: InHand; readonly settlement: Settlement };

export class NoticeDesk {
  readonly #options: NoticeDeskOptions;

  constructor(options: NoticeDeskOptions) {
    this.#options = options;
  }

  /**
   * Settles recipients of one message and tells its sender, in one transaction. What can't be told, because the sender's
   * address leads nowhere or the report can't be made, becomes a dead letter.
   */
  async settle(kind: 'failed' | 'delivered' | 'relayed' | 'expanded', items: readonly Item[]): Promise<void> {
    const { ledger } = this.#options;
    const settlements = items.map(({ settlement }) => settlement);
    const written = await this.#write(kind, items, null, (mail) => ledger.settleWithNotice(settlements, mail));
    if (written === 'written') return;
    if (written === 'later') {
      // It is refused once more, and told then.
      const due = new Date(Date.now() + laterMs);
      await ledger.settle(settlements.map((each) => ({ ...each, next: 'queued', outcome: 'later', due })));
      return;
    }
    // Some were not in hand any more: those that still are, are settled without a report rather than not at all.
    const isDead = written === 'untold' && kind === 'failed';
    await ledger.settle(settlements.map((each) => (isDead ? { ...each, next: 'dead' } : each)));
  }

  /** Tells the sender that recipients of one message, still in hand, are late. Failing that it is told after the next attempt. */
  async tellDelay(items: readonly Item[], number: number): Promise<void> {
    const { ledger } = this.#options;
    const inHand = items.map((item) => item.inHand);
    await this.#write(
      'delayed',
      items,
      (item) => item.inHand.expiresAt,
      (mail) => ledger.tellDelay(inHand, number, mail),
    );
  }

  async #write(
    kind: Notice['kind'],
    items: readonly Item[],
    retryUntil: ((item: Item) => Date) | null,
    write: (mail: NoticeMail) => Promise<unknown>,
  ): Promise<'written' | 'stale' | 'untold' | 'later'> {
    const message = items[0]?.inHand.message;
    if (message === undefined) return 'written';
    const { logger } = this.#options;
    try {
      const mail = await this.#address(message);
      if (mail === null) return 'untold';
      await using report = await this.#options.notices.build({
        kind,
        message,
        recipients: items.map((item) => ({
          recipient: item.inHand.recipient,
          lastAttemptAt: item.settlement.facts === null ? null : new Date(),
          facts: item.settlement.facts,
          reason: item.settlement.facts === null ? item.settlement.reason : null,
          willRetryUntil: retryUntil?.(item) ?? null,
        })),
      });
      const written = await write({ message: report, ...mail });
      if (written === null) return 'stale';
      logger.info(
        { event: 'msg.notice', queue: queueName(message.id), message: message.traceId, kind, to: message.sender },
        'sender told',
      );
      return 'written';
    } catch (error) {
      const isAway = error instanceof MailError && error.fault.kind === 'unavailable';
      if (isAway && kind === 'failed') return 'later';
      logger.error(
        { event: 'msg.notice-failed', err: error, queue: queueName(message.id), kind },
        'the sender could not be told',
      );
      return 'untold';
    }
  }

  /** Where the sender's mail goes; null: nowhere. A report goes out from <> (RFC 3464 section 2). */
  async #address(message: OutboundMessage): Promise<Pick<NoticeMail, 'deliveries' | 'outbound'> | null> {
    const verdict = await this.#options.directory.resolveRecipient(message.sender, 0);
    switch (verdict.kind) {
      case 'local':
        return {
          deliveries: verdict.accounts.map(({ accountId, address }) => deliveryTo(accountId, address)),
          outbound: [],
        };
      case 'remote':
        return { deliveries: [], outbound: [reportTo(message)] };
      default:
        return null;
    }
  }
}

function deliveryTo(accountId: Delivery['accountId'], address: string): Delivery {
  const prefix = Buffer.from(`Return-Path: <>\r\nDelivered-To: ${address}\r\n`);
  return { accountId, mailboxId: null, prefix, flags: 0, keywords: [] };
}

function reportTo({ domain, sender, isSmtpUtf8, traceId, requiresTls }: OutboundMessage): NewOutbound {
  return {
    envelope: {
      origin: 'notice',
      accountId: null,
      domain,
      sender: '',
      returnPath: null,
      envid: null,
      ret: null,
      body: '7bit',
      isSmtpUtf8,
      requiresTls,
      deliverBy: null,
      holdUntil: null,
      priority: 1,
      traceId,
      messageId: null,
    },
    prefix: Buffer.alloc(0),
    // RFC 3461 section 4.1: a report asks for none.
    recipients: [{ address: sender, notify: 'never', orcpt: null }],
    heldFor: null,
  };
}
