import { expect, test } from 'vitest';
import type { AccountId } from '#shared/base/ids.ts';
import { silentLogger } from '#shared/observe/logger.ts';
import { spooled } from '../../test/harness/message.ts';
import type { BounceAddresses, SentMessage } from './bounce-address.ts';
import { createInboundReports } from './inbound-reports.ts';
import { readReport } from './read-report.ts';
import type { NewSuppression } from './suppression.ts';

const message = (text: string) => spooled(Buffer.from(text.replaceAll(/\r?\n/g, '\r\n')));

const multipart = (type: string, ...parts: readonly string[]): string =>
  `From: x@elsewhere.test\nContent-Type: multipart/report; report-type=${type}; boundary=b\n\n${parts.map((part) => `--b\n${part}\n`).join('')}--b--\n`;
const returned =
  'Content-Type: text/rfc822-headers\n\nReturn-Path: <bounce@us.test>\nMessage-ID: <1@us.test>\nSubject: hi\n';

function bounce(fields: string): string {
  const status = `Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.elsewhere.test\n\n${fields}\n`;
  return multipart('delivery-status', 'Content-Type: text/plain\n\nSorry.\n', status, returned);
}

const failed =
  'Original-Recipient: rfc822;bob@elsewhere.test\nFinal-Recipient: rfc822; b.smith@inside.test\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 no such\n user here';

const complaint = (fields: string): string =>
  multipart(
    'feedback-report',
    'Content-Type: text/plain\n\nx\n',
    `Content-Type: message/feedback-report\n\n${fields}\n`,
    returned,
  );

test('a delivery report in the form that most servers write', async () => {
  expect(await readReport(await message(bounce(failed)))).toEqual({
    kind: 'delivery',
    messageId: '1@us.test',
    recipients: [
      {
        address: 'b.smith@inside.test',
        original: 'bob@elsewhere.test',
        action: 'failed',
        status: '5.1.1',
        diagnostic: '550 no such user here',
      },
    ],
  });
});

test('several recipients, brackets, capitals, comments behind the status, and fields that lack', async () => {
  const groups = [
    'FINAL-RECIPIENT: RFC822;<a@x.test>\nACTION: Failed\nSTATUS: 5.2.2 (mailbox full)',
    'Final-Recipient: x400; /C=de/\nAction: delayed\nStatus: 4.0.0',
    'Final-Recipient: rfc822; no-action@x.test\nStatus: 5.0.0',
    'Action: failed\nStatus: 5.0.0',
  ].join('\n\n');
  expect(await readReport(await message(bounce(groups)))).toMatchObject({
    recipients: [
      { address: 'a@x.test', action: 'failed', status: '5.2.2', original: null },
      { address: '/C=de/', action: 'delayed', status: '4.0.0' },
    ],
  });
});

test('a complaint (RFC 5965)', async () => {
  const fields =
    'Feedback-Type: abuse\nUser-Agent: X/1\nVersion: 1\nOriginal-Mail-From: <bounce@us.test>\nOriginal-Rcpt-To: <a@x.test>\nOriginal-Rcpt-To: b@x.test';
  expect(await readReport(await message(complaint(fields)))).toEqual({
    kind: 'complaint',
    type: 'abuse',
    mailFrom: 'bounce@us.test',
    recipients: ['a@x.test', 'b@x.test'],
    messageId: '1@us.test',
  });
  // Where the report doesn't say it, the message that came back does.
  expect(await readReport(await message(complaint('Feedback-Type: abuse')))).toMatchObject({
    mailFrom: 'bounce@us.test',
    recipients: [],
  });
});

test.each([
  ['ordinary mail', 'Subject: hi\n\nhello\n'],
  ['a report without a status', multipart('delivery-status', 'Content-Type: text/plain\n\nSorry.\n')],
  ['a status that says nothing', bounce('Nothing: here')],
  [
    'a report on a disposition',
    multipart('disposition-notification', 'Content-Type: message/disposition-notification\n\nX: y\n'),
  ],
])('%s is no report', async (_, text) => {
  expect(await readReport(await message(text))).toBeNull();
});

const sent: SentMessage = {
  accountId: 1n as AccountId,
  domain: 'us.test',
  traceId: 'abc',
  wasSentTo: (address) => address === 'bob@elsewhere.test',
};
const addresses: BounceAddresses = { make: () => 'x', read: (address) => (address === 'bounce@us.test' ? sent : null) };

async function learned(text: string, known: readonly SentMessage[]): Promise<readonly NewSuppression[]> {
  const added: NewSuppression[] = [];
  const reports = createInboundReports({
    addresses,
    suppression: { add: async (entry) => void added.push(entry) },
    addressOf: async () => 'alice@us.test',
  });
  await reports.learn(await message(text), known, silentLogger);
  return added;
}

test('a bounce to the return path of its message suppresses whom it was sent to', async () => {
  expect(await learned(bounce(failed), [sent])).toEqual([
    { domain: 'us.test', address: 'bob@elsewhere.test', origin: 'bounce', reason: '5.1.1 550 no such user here' },
  ]);
});

test.each([
  ['that came to another address, for all that it names the Message-ID', failed, []],
  ['of somebody whom the message was not sent to', failed.replaceAll('bob@', 'victim@'), [sent]],
  ['of somebody whom the message may have been sent to', failed, [{ ...sent, wasSentTo: () => null }]],
  ['about a full mailbox', failed.replace('5.1.1', '5.2.2'), [sent]],
  ['about the message', failed.replace('5.1.1', '5.7.1'), [sent]],
  ['of a delay', failed.replace('failed', 'delayed'), [sent]],
] as const)('a bounce %s suppresses nobody', async (_, fields, known) => {
  expect(await learned(bounce(fields), known)).toEqual([]);
});

test('a complaint suppresses whom the message was sent to, if its return path is ours', async () => {
  const about = (mailFrom: string, type = 'abuse'): string =>
    complaint(
      `Feedback-Type: ${type}\nOriginal-Mail-From: ${mailFrom}\nOriginal-Rcpt-To: bob@elsewhere.test\nOriginal-Rcpt-To: victim@x.test`,
    );
  expect(await learned(about('<bounce@us.test>'), [])).toEqual([
    { domain: 'us.test', address: 'bob@elsewhere.test', origin: 'complaint', reason: 'abuse' },
  ]);
  expect(await learned(about('<forged@us.test>'), [])).toEqual([]);
  expect(await learned(about('<bounce@us.test>', 'not-spam'), [])).toEqual([]);
});
