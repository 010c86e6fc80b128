import { expect, test } from 'vitest';
import type { NextHop } from '#server/mail/outbound-ports.ts';
import { attemptFacts } from './notice-fixtures.ts';
import { replyRules } from './reply-rule-table.ts';
import { createReplyRules } from './reply-rules.ts';

const rules = createReplyRules();
const hop: NextHop = { route: 'direct', domain: 'example.com' };

test.each([
  // Any server.
  ['mx.example.com', 550, '5.1.1', 'No such user here', 'never', 'no-such-user'],
  [
    'mx.example.com',
    550,
    null,
    'Recipient address rejected: User unknown in virtual mailbox table',
    'never',
    'no-such-user',
  ],
  ['mx.example.com', 554, '5.2.1', 'Mailbox disabled', 'never', 'mailbox-disabled'],
  ['mx.example.com', 552, '5.2.2', 'Mailbox full', 'later', 'mailbox-full'],
  ['mx.example.com', 552, null, 'user is over quota', 'later', 'mailbox-full'],
  ['mx.example.com', 452, '4.3.1', 'Storage of this user is full', 'as-is', 'mailbox-full'],
  ['mx.example.com', 550, '5.4.1', 'Access denied', 'as-is', 'routing'],
  ['mx.example.com', 452, '4.2.2', 'The email account that you tried to reach is over quota', 'later', 'mailbox-full'],
  ['mx.example.com', 450, '4.2.0', 'Greylisted, see http://postgrey.schweikert.ch/help', 'later', 'greylisted'],
  ['mx.example.com', 451, '4.7.1', 'Please try again in 300 seconds', 'later', 'greylisted'],
  ['mx.example.com', 421, '4.7.0', 'Too many concurrent connections from your host', 'slower', 'connections'],
  ['mx.example.com', 450, '4.7.1', 'You are sending too fast, slow down', 'slower', 'rate'],
  ['mx.example.com', 421, null, 'Service not available, closing channel', 'as-is', 'server'],
  [
    'mx.example.com',
    554,
    '5.7.1',
    'Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org',
    'block',
    'reputation',
  ],
  ['mx.example.com', 550, null, 'Your IP address has been blocked', 'block', 'reputation'],
  ['mx.example.com', 550, '5.7.25', 'Client does not have a PTR record', 'block', 'reputation'],
  ['mx.example.com', 550, '5.7.1', 'Message rejected as spam', 'as-is', 'spam'],
  [
    'mx.example.com',
    550,
    '5.7.26',
    'Unauthenticated mail from example.org is not accepted (DMARC)',
    'as-is',
    'authentication',
  ],
  ['mx.example.com', 552, '5.3.4', 'Message size exceeds fixed limit', 'as-is', 'size'],
  ['mx.example.com', 554, '5.7.1', 'Relay access denied', 'as-is', 'relaying'],
  ['mx.example.com', 530, '5.7.0', 'Must issue a STARTTLS command first', 'as-is', 'tls'],
  ['mx.example.com', 554, '5.6.0', 'Malformed message', 'as-is', 'content'],
  ['mx.example.com', 550, '5.7.1', 'Not today', 'as-is', 'policy'],
  ['mx.example.com', 550, null, 'No thanks', 'as-is', 'other'],
  // Google.
  ['gmail-smtp-in.l.google.com', 421, '4.7.28', 'Our system has detected an unusual rate of mail', 'slower', 'rate'],
  [
    'gmail-smtp-in.l.google.com',
    450,
    '4.2.1',
    'The user you are trying to contact is receiving mail too quickly',
    'later',
    'rate',
  ],
  [
    'gmail-smtp-in.l.google.com',
    550,
    '5.7.26',
    'This mail has been blocked because the sender is unauthenticated',
    'as-is',
    'authentication',
  ],
  [
    'gmail-smtp-in.l.google.com',
    550,
    '5.1.1',
    'The email account that you tried to reach does not exist',
    'never',
    'no-such-user',
  ],
  [
    'gmail-smtp-in.l.google.com',
    550,
    '5.2.1',
    'The email account that you tried to reach is inactive',
    'never',
    'mailbox-disabled',
  ],
  // Microsoft.
  [
    'x.mail.protection.outlook.com',
    550,
    '5.7.1',
    'Unfortunately, messages from [192.0.2.1] were not sent. (S3150)',
    'block',
    'reputation',
  ],
  [
    'x.mail.protection.outlook.com',
    550,
    '5.7.606',
    'Access denied, banned sending IP [192.0.2.1]',
    'block',
    'reputation',
  ],
  [
    'x.mail.protection.outlook.com',
    451,
    '4.7.650',
    'The mail server [192.0.2.1] has been temporarily rate limited',
    'slower',
    'rate',
  ],
  [
    'x.mail.protection.outlook.com',
    550,
    '5.4.1',
    'Recipient address rejected: Access denied.',
    'never',
    'no-such-user',
  ],
  [
    'x.mail.protection.outlook.com',
    550,
    '5.7.515',
    'Access denied, sending domain does not meet the required authentication',
    'never',
    'authentication',
  ],
  // Yahoo.
  [
    'mta5.am0.yahoodns.net',
    421,
    '4.7.0',
    '[TSS04] Messages from 192.0.2.1 temporarily deferred',
    'slower',
    'reputation',
  ],
  ['mta5.am0.yahoodns.net', 554, '5.7.9', '[BL21] Connections will not be accepted', 'block', 'reputation'],
  [
    'mta5.am0.yahoodns.net',
    552,
    null,
    "1 Requested mail action aborted, this user doesn't have a yahoo.com account",
    'never',
    'no-such-user',
  ],
  // Apple, GMX.
  ['mx01.mail.icloud.com', 554, '5.7.1', '[CS01] Message rejected due to local policy', 'never', 'spam'],
  ['mx01.mail.icloud.com', 450, '4.7.0', '[HM07] Message rejected', 'slower', 'reputation'],
  ['mx00.gmx.net', 554, null, 'gmx.net (mxgmx115) Nemesis ESMTP Service not available', 'block', 'reputation'],
] as const)('%s: %i %s %s', (host, code, status, text, action, category) => {
  expect(rules.classify(attemptFacts(code, status, text, host), hop)).toEqual({ action, category });
});

test('without a reply there is nothing to read', () => {
  const facts = attemptFacts(null, '4.4.1', 'connection refused: spamhaus');
  expect(rules.classify(facts, hop)).toEqual({ action: 'as-is', category: 'other' });
});

test('a smarthost of another name is not taken for the provider', () => {
  const facts = attemptFacts(550, '5.4.1', 'Access denied', 'notoutlook.com');
  expect(rules.classify(facts, hop)).toEqual({ action: 'as-is', category: 'routing' });
});

test('texts are matched in small letters, so patterns have no others', () => {
  for (const { text } of replyRules) expect(text?.source ?? '').not.toMatch(/(?<!\\)[A-Z]/);
});
