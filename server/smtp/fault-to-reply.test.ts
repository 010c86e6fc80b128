import { expect, test } from 'vitest';
import { MailError, type MailFault } from '#server/mail/mail-error.ts';
import {
  contentReply,
  errorReply,
  faultReply,
  recipientReply,
  replies,
  replyText,
  SmtpRefusal,
} from './fault-to-reply.ts';

test.each<[MailFault, number, string]>([
  [{ kind: 'unavailable' }, 451, '4.3.0'],
  [{ kind: 'storage-full' }, 452, '4.3.1'],
  [{ kind: 'over-quota', limitBytes: 1 }, 452, '4.2.2'],
  [{ kind: 'too-big', limitBytes: 1 }, 552, '5.3.4'],
  [{ kind: 'limit', reason: 'x' }, 452, '4.2.0'],
  [{ kind: 'not-permitted', reason: 'x' }, 550, '5.7.1'],
  [{ kind: 'no-such-account' }, 451, '4.2.0'],
  [{ kind: 'no-such-mailbox', name: 'x' }, 451, '4.2.0'],
])('%o is %i %s', (fault, code, status) => {
  expect(faultReply(fault)).toMatchObject({ code, status });
});

test('recipients that are not taken', () => {
  expect(recipientReply({ kind: 'unknown' })).toMatchObject({ code: 550, status: '5.1.1' });
  expect(recipientReply({ kind: 'over-quota' })).toMatchObject({ code: 452, status: '4.2.2' });
  expect(recipientReply({ kind: 'suspended' })).toMatchObject({ code: 550, status: '5.2.1' });
});

test('messages that are not taken', () => {
  expect(contentReply('bare-line-ending')).toMatchObject({ code: 550, status: '5.6.0' });
  expect(contentReply('nul')).toMatchObject({ code: 550, status: '5.6.0' });
  expect(contentReply('loop')).toMatchObject({ code: 554, status: '5.4.6' });
});

test('the class of every status is that of its code, and every text is printable ASCII', () => {
  for (const reply of Object.values(replies)) {
    expect(reply.status).toMatch(/^[245]\.\d{1,3}\.\d{1,3}$/);
    expect(reply.status[0]).toBe(String(reply.code)[0]);
    expect(replyText(reply)).toMatch(/^[ -~]+$/);
  }
});

test('only refusals have a reply; anything else is a bug of ours', () => {
  expect(errorReply(new SmtpRefusal(replies.vrfy))).toBe(replies.vrfy);
  expect(errorReply(new MailError({ kind: 'unavailable' }))).toMatchObject({ code: 451 });
  expect(errorReply(new TypeError('x'))).toBeNull();
});
