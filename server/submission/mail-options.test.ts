import { expect, test } from 'vitest';
import { extensionLines, mailOptions, noMailOptions, recipientOptions } from './mail-options.ts';
import { SubmissionRefusal, submissionReply } from './submission-fault.ts';

const now = new Date('2026-11-21T12:00:00Z');

test('what EHLO announces; REQUIRETLS inside TLS alone (RFC 8689 section 2)', () => {
  expect(extensionLines(now, true)).toEqual([
    'DSN',
    'FUTURERELEASE 2592000 2026-12-21T12:00:00Z',
    'DELIVERBY',
    'MT-PRIORITY',
    'REQUIRETLS',
  ]);
  expect(extensionLines(now, false)).not.toContain('REQUIRETLS');
});

test.each([
  [{}, {}],
  [
    { RET: 'FULL', ENVID: 'QQ314159' },
    { ret: 'full', envid: 'QQ314159' },
  ],
  [{ RET: 'hdrs' }, { ret: 'headers' }],
  [{ REQUIRETLS: true }, { requiresTls: true }],
  [{ HOLDFOR: '3600' }, { holdUntil: new Date('2026-11-21T13:00:00Z') }],
  [{ HOLDUNTIL: '2026-11-22T09:30:00Z' }, { holdUntil: new Date('2026-11-22T09:30:00Z') }],
  [{ HOLDUNTIL: '2026-11-22T09:30:00+02:00' }, { holdUntil: new Date('2026-11-22T07:30:00Z') }],
  [{ BY: '120;R' }, { deliverBy: { at: new Date('2026-11-21T12:02:00Z'), mode: 'return', isTraced: false } }],
  [{ BY: '-60;nt' }, { deliverBy: { at: new Date('2026-11-21T11:59:00Z'), mode: 'notify', isTraced: true } }],
  [{ 'MT-PRIORITY': '-9' }, { priority: -9 }],
  [{ 'MT-PRIORITY': '0' }, { priority: 0 }],
] as const)('MAIL with %j', (given, expected) => {
  expect(mailOptions(given, now, true)).toEqual({ ...noMailOptions, ...expected });
});

test.each([
  { RET: 'ALL' },
  { RET: true },
  { ENVID: 'x'.repeat(101) },
  { ENVID: 'é' },
  { REQUIRETLS: 'yes' },
  { HOLDFOR: '0' },
  { HOLDFOR: '-1' },
  { HOLDFOR: '1234567890' },
  { HOLDFOR: '60', HOLDUNTIL: '2026-11-22T09:30:00Z' },
  { HOLDUNTIL: '2026-11-31T09:30:00Z' },
  { HOLDUNTIL: 'tomorrow' },
  { BY: '0;R' },
  { BY: '-5;R' },
  { BY: '60' },
  { BY: '60;X' },
  { 'MT-PRIORITY': '10' },
  { 'MT-PRIORITY': '+1' },
  { 'MT-PRIORITY': '-0' },
] as const)('MAIL with %j is refused with 501 5.5.4', (given) => {
  expect(refusal(() => mailOptions(given, now, true))).toMatchObject({ code: 501, status: '5.5.4' });
});

test('REQUIRETLS in clear, and a message held for too long, are refused', () => {
  expect(refusal(() => mailOptions({ REQUIRETLS: true }, now, false))).toMatchObject({ code: 501 });
  expect(refusal(() => mailOptions({ HOLDFOR: '2592001' }, now, true))).toMatchObject({
    code: 501,
    text: 'A message can be held for 2592000 seconds at most',
  });
});

test.each([
  [{ NOTIFY: 'NEVER' }, { notify: 'never', orcpt: null }],
  [{ NOTIFY: 'delay,SUCCESS' }, { notify: ['success', 'delay'], orcpt: null }],
  [{ ORCPT: 'rfc822;Bob+x@example.com' }, { notify: null, orcpt: 'rfc822;Bob+x@example.com' }],
] as const)('RCPT with %j', (given, expected) => {
  expect(recipientOptions(given)).toEqual(expected);
});

test.each([
  { NOTIFY: 'NEVER,SUCCESS' },
  { NOTIFY: 'SOMETIMES' },
  { NOTIFY: 'SUCCESS,SUCCESS' },
  { NOTIFY: true },
  { ORCPT: 'bob@example.com' },
  { ORCPT: `rfc822;${'x'.repeat(500)}` },
] as const)('RCPT with %j is refused', (given) => {
  expect(refusal(() => recipientOptions(given))).toMatchObject({ code: 501, status: '5.5.4' });
});

function refusal(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    if (error instanceof SubmissionRefusal) return submissionReply(error.fault);
    throw error;
  }
  return null;
}
