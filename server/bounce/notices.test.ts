import { expect, test } from 'vitest';
import type { Notice } from '#server/mail/outbound-ports.ts';
import { spooled } from '../../test/harness/message.ts';
import { attemptFacts, originalText, outboundMessage, outboundRecipient, sourceOf } from './notice-fixtures.ts';
import { formatReport, type NoticesOptions } from './notices.ts';
import { readReport } from './read-report.ts';

const options: NoticesOptions = {
  hostname: 'mx.example.org',
  clock: { now: () => new Date('2026-11-21T12:00:00Z'), monotonicMs: () => 0 },
  createSpool: () => {
    throw new Error('not needed');
  },
};

type Told = Notice['recipients'][number];

function told(changes: Partial<Told> = {}): Told {
  return {
    recipient: outboundRecipient(),
    lastAttemptAt: new Date('2026-11-21T11:00:00Z'),
    facts: attemptFacts(550, '5.1.1', '5.1.1 <bob@example.com>: no such user'),
    reason: null,
    willRetryUntil: null,
    ...changes,
  };
}

function notice(changes: Partial<Notice> = {}): Notice {
  return { kind: 'failed', message: outboundMessage(), recipients: [told()], ...changes };
}

async function report(
  changes: Partial<Notice> = {},
): Promise<{ readonly text: string; readonly types: readonly string[] }> {
  const bytes = await formatReport(notice(changes), options);
  const text = bytes.toString('latin1');
  // Any server takes it.
  expect(text).toMatch(/^[\t\r\n\x20-\x7e]*$/);
  for (const line of text.split('\r\n')) expect(line.length).toBeLessThanOrEqual(998);
  const { root } = (await spooled(bytes)).index;
  expect(`${root.type}/${root.subtype}`).toBe('multipart/report');
  return { text, types: root.children.map(({ type, subtype }) => `${type}/${subtype}`) };
}

test('a failure: three parts, from nobody who reads answers, with what the other server said (RFC 3464)', async () => {
  const { text, types } = await report();
  expect(types).toEqual(['text/plain', 'message/delivery-status', 'message/rfc822']);
  const expected = [
    'From: Mail Delivery System <MAILER-DAEMON@mx.example.org>',
    'To: <alice@example.org>',
    'Subject: Your message could not be delivered',
    'Auto-Submitted: auto-replied',
    'In-Reply-To: <1@example.org>',
    'mx.example.com said: 550 5.1.1 <bob@example.com>: no such user',
    'Reporting-MTA: dns; mx.example.org',
    'Arrival-Date: Sat, 21 Nov 2026 10:00:00 +0000',
    'Final-Recipient: rfc822; bob@example.com',
    'Action: failed',
    'Status: 5.1.1',
    'Remote-MTA: dns; mx.example.com',
    'Diagnostic-Code: smtp; 550 5.1.1 <bob@example.com>: no such user',
    'Last-Attempt-Date: Sat, 21 Nov 2026 11:00:00 +0000',
    'Received: from x by y; now',
    'Subject: hi',
    'Hello',
  ];
  for (const line of expected) expect(text).toContain(`${line}\r\n`);
  expect(text).not.toContain('Will-Retry-Until');
  expect(text).not.toContain('Original-Recipient');
});

test('what the sender asked for comes back: ENVID, ORCPT, RET=HDRS (RFC 3461)', async () => {
  const message = outboundMessage({ envid: 'QQ 314159', ret: 'headers' });
  const recipients = [told({ recipient: outboundRecipient({ orcpt: 'rfc822;Team@example.org' }) })];
  const { text, types } = await report({ message, recipients });
  expect(types[2]).toBe('text/rfc822-headers');
  expect(text).toContain('Original-Envelope-Id: QQ 314159\r\n');
  expect(text).toContain(
    'Original-Recipient: rfc822; Team@example.org\r\nFinal-Recipient: rfc822; bob@example.com\r\n',
  );
  expect(text).not.toContain('Hello');
});

test('a delay: 4yz, until when it is tried, and the header alone', async () => {
  const facts = attemptFacts(450, '4.2.0', 'Greylisted');
  const recipients = [told({ facts, willRetryUntil: new Date('2026-11-26T10:00:00Z') })];
  const { text, types } = await report({ kind: 'delayed', recipients });
  expect(types[2]).toBe('text/rfc822-headers');
  expect(text).toContain('Action: delayed\r\nStatus: 4.2.0\r\n');
  expect(text).toContain('Will-Retry-Until: Thu, 26 Nov 2026 10:00:00 +0000\r\n');
  expect(text).toContain('you need not send it again');
});

test.each([
  ['a temporary refusal at last', { facts: attemptFacts(452, '4.2.2', 'full') }, 'Status: 5.2.2'],
  ['no time left', { facts: null, reason: 'not delivered in time, after 12 attempts' }, 'Status: 5.4.7'],
  [
    'an address on the list',
    { facts: null, reason: 'on the suppression list of example.org (bounce: 550)' },
    'Status: 5.7.1',
  ],
  ['no connection', { facts: attemptFacts(null, '4.4.1', 'connection refused') }, 'Status: 5.4.1'],
  ['a reply without a status', { facts: attemptFacts(550, null, 'no') }, 'Status: 5.0.0'],
] as const)('failed for %s', async (_, changes, status) => {
  const { text } = await report({ recipients: [told(changes)] });
  expect(text).toContain(`Action: failed\r\n${status}\r\n`);
  const reason = 'reason' in changes ? changes.reason : null;
  if (reason !== null) expect(text).toContain(reason);
  expect(text.includes('Diagnostic-Code')).toBe(changes.facts !== null && changes.facts.reply.code !== null);
});

test.each([
  ['delivered', 'Status: 2.1.5'],
  ['relayed', 'Status: 2.1.5'],
] as const)('success: %s', async (kind, status) => {
  const { text } = await report({ kind, recipients: [told({ facts: attemptFacts(250, '2.1.5', 'ok') })] });
  expect(text).toContain(`Action: ${kind}\r\n${status}\r\n`);
});

test('several recipients are groups of one report', async () => {
  const recipients = ['bob', 'carol', 'dave'].map((name) =>
    told({ recipient: outboundRecipient({ address: `${name}@example.com` }) }),
  );
  const bytes = await formatReport(notice({ recipients }), options);
  const read = await readReport(await spooled(bytes));
  expect(read).toMatchObject({
    kind: 'delivery',
    messageId: '1@example.org',
    recipients: ['bob', 'carol', 'dave'].map((name) => ({
      address: `${name}@example.com`,
      action: 'failed',
      status: '5.1.1',
    })),
  });
});

test('addresses in UTF-8 are told in UTF-8 to who uses it, else in ASCII (RFC 6533)', async () => {
  const recipients = [told({ recipient: outboundRecipient({ address: 'jörg@example.com' }) })];
  const global = await report({ message: outboundMessage({ isSmtpUtf8: true }), recipients });
  expect(global.types[1]).toBe('message/global-delivery-status');
  const plain = await report({ recipients });
  expect(plain.text).toContain('Final-Recipient: utf-8; j\\x{F6}rg@example.com\r\n');
  for (const isSmtpUtf8 of [true, false]) {
    const bytes = await formatReport(notice({ message: outboundMessage({ isSmtpUtf8 }), recipients }), options);
    expect(await readReport(await spooled(bytes))).toMatchObject({ recipients: [{ address: 'jörg@example.com' }] });
  }
});

test('a message that is not ASCII comes back unharmed, in base64', async () => {
  const content = sourceOf(originalText.replace('Hello', 'Grüße'));
  const { text, types } = await report({ message: outboundMessage({ content, body: '8bitmime' }) });
  expect(types[2]).toBe('message/global');
  expect(Buffer.from(text.split('base64\r\n\r\n').at(-1)?.split('\r\n--')[0] ?? '', 'base64').toString()).toContain(
    'Grüße',
  );
});

test('of a large message the header comes back, also of one that was asked for whole', async () => {
  const large = (bytes: number) =>
    outboundMessage({ content: sourceOf(`${originalText}${'x'.repeat(70)}\r\n`.repeat(bytes / 200)) });
  expect((await report({ message: large(50_000) })).types[2]).toBe('message/rfc822');
  expect((await report({ message: large(200_000) })).types[2]).toBe('text/rfc822-headers');
  expect((await report({ message: { ...large(200_000), ret: 'full' } })).types[2]).toBe('message/rfc822');
  expect((await report({ message: { ...large(2_000_000), ret: 'full' } })).types[2]).toBe('text/rfc822-headers');
});

test('a reply that tries to be more than one line stays one', async () => {
  const facts = attemptFacts(550, '5.7.1', `no\r\nAction: delivered ${'very long '.repeat(300)}`);
  const { text } = await report({ recipients: [told({ facts })] });
  expect(text.match(/^Action: /gm)).toEqual(['Action: ']);
});
