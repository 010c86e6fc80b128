import { parseAddress } from '#shared/text/address.ts';
import type { NewOutbound } from '#server/mail/outbound-ports.ts';
import type { SpooledMessage } from '#server/mail/ports.ts';
import { isAsciiFrom } from './is-ascii.ts';
import { receivedField, type TraceFacts } from './trace-header.ts';

/**
 * A message that aliases here send on to addresses elsewhere, each with the alias that names it. Its sender stays
 * (RFC 5321 section 3.9.1): who wrote it hears of a failure.
 */
export async function forwardOf(
  message: SpooledMessage,
  forwards: ReadonlyMap<string, string>,
  facts: TraceFacts,
  isSmtpUtf8: boolean,
): Promise<NewOutbound> {
  const [alias = ''] = forwards.values();
  return {
    envelope: {
      origin: 'forward',
      accountId: null,
      domain: parseAddress(alias)?.domain ?? facts.hostname,
      sender: facts.sender,
      returnPath: null,
      envid: null,
      ret: null,
      body: (await isAsciiFrom(message, 0)) ? '7bit' : '8bitmime',
      isSmtpUtf8,
      requiresTls: false,
      deliverBy: null,
      holdUntil: null,
      priority: 0,
      traceId: facts.id,
      messageId: null,
    },
    prefix: Buffer.from(receivedField(facts)),
    recipients: [...forwards.keys()].map((address) => ({ address, notify: null, orcpt: null })),
    heldFor: null,
  };
}
