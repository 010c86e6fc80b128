import type { AccountId } from '#shared/base/ids.ts';
import type { Delivered, Delivery, MailStore, SpooledMessage } from '#server/mail/ports.ts';
import { traceHeaders, type TraceFacts } from './trace-header.ts';

/** An account that a recipient's address leads to, and the account's own address. */
export type Recipient = { readonly accountId: AccountId; readonly address: string };

/**
 * Puts a message into the INBOX of every account, each once however many addresses lead to it. Resolves when it is
 * committed for all of them; refuses as `MailStore.deliver`, and then none has it.
 */
export function deliverMessage(
  store: MailStore,
  message: SpooledMessage,
  recipients: readonly Recipient[],
  facts: TraceFacts,
): Promise<readonly Delivered[]> {
  return store.deliver(message, deliveriesOf(recipients, facts));
}

/** One copy for each account. */
export function deliveriesOf(recipients: readonly Recipient[], facts: TraceFacts): readonly Delivery[] {
  const headerFor = traceHeaders(facts);
  const accounts = new Map<AccountId, string>();
  for (const { accountId, address } of recipients) if (!accounts.has(accountId)) accounts.set(accountId, address);
  return [...accounts].map(([accountId, address]) => ({
    accountId,
    mailboxId: null,
    prefix: headerFor(address),
    flags: 0,
    keywords: [],
  }));
}
