/** Messages and attempts for the tests of reports. */
import type {
  AttemptFacts,
  MessageSource,
  OutboundMessage,
  OutboundRecipient,
  QueueId,
  QueueRecipientId,
} from '#server/mail/outbound-ports.ts';

export const originalText =
  'From: Alice <alice@example.org>\r\nTo: bob@example.com\r\nSubject: hi\r\nMessage-ID: <1@example.org>\r\n\r\nHello\r\n';

export function sourceOf(text: string | Buffer, prefix = 'Received: from x by y; now\r\n'): MessageSource {
  const bytes = Buffer.from(text as string);
  return {
    prefix: Buffer.from(prefix),
    hash: '' as never,
    rawSize: bytes.length,
    async *read(start, end) {
      yield bytes.subarray(start, end);
    },
  };
}

export function outboundMessage(changes: Partial<OutboundMessage> = {}): OutboundMessage {
  return {
    id: 7n as QueueId,
    acceptedAt: new Date('2026-11-21T10:00:00Z'),
    content: sourceOf(originalText),
    origin: 'submission',
    accountId: null,
    domain: 'example.org',
    sender: 'alice@example.org',
    returnPath: null,
    envid: null,
    ret: null,
    body: '7bit',
    isSmtpUtf8: false,
    requiresTls: false,
    deliverBy: null,
    holdUntil: null,
    priority: 0,
    traceId: 'abcdefghijkl',
    messageId: '1@example.org',
    ...changes,
  };
}

export function outboundRecipient(changes: Partial<OutboundRecipient> = {}): OutboundRecipient {
  return {
    id: 1n as QueueRecipientId,
    address: 'bob@example.com',
    notify: null,
    orcpt: null,
    attempts: 1,
    crashes: 0,
    firstAttemptAt: null,
    delayNotices: 0,
    ...changes,
  };
}

export function attemptFacts(
  code: number | null,
  status: string | null,
  text: string,
  host = 'mx.example.com',
): AttemptFacts {
  return {
    reply: { code, status, text },
    host,
    address: '192.0.2.1',
    sourceAddress: null,
    tls: null,
    ms: 12,
    isUncertain: false,
  };
}
