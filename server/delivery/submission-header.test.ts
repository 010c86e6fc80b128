import fc from 'fast-check';
import { expect, test } from 'vitest';
import { maxAddedHeaderBytes, SubmissionHeader } from './submission-header.ts';

const added = { date: new Date('2026-11-21T10:40:49Z'), messageIdLeft: 'abc', messageIdRight: 'mx.home.test' };
const date = 'Date: Sat, 21 Nov 2026 10:40:49 +0000\r\n';
const messageId = 'Message-ID: <abc@mx.home.test>\r\n';

function fixed(...chunks: readonly string[]): string {
  return fixedPieces(chunks);
}

function fixedPieces(chunks: readonly string[]): string {
  const filter = new SubmissionHeader(added);
  // The filter may give out what it was given, but not what it will change.
  const out = chunks.map((chunk) => Buffer.from(filter.push(Buffer.from(chunk, 'latin1'))));
  return Buffer.concat([...out, filter.finish()]).toString('latin1');
}

test('what is missing is put first', () => {
  expect(fixed('From: a@b\r\n\r\nbody\r\n')).toBe(`${date}${messageId}From: a@b\r\n\r\nbody\r\n`);
});

test('what is there stays, whatever its case', () => {
  const message = 'DATE: today\r\nmessage-id: <x@y>\r\nSubject: s\r\n\r\nbody\r\n';
  expect(fixed(message)).toBe(message);
});

test('Bcc goes with all of its lines; fields that only resemble it stay', () => {
  expect(
    fixed(
      `${date}${messageId}Bcc: a@b,\r\n c@d\r\n\te@f\r\nTo: x@y\r\nresent-bcc : a@b\r\nX-Bcc: no\r\n\r\nBcc: body\r\n`,
    ),
  ).toBe(`${date}${messageId}To: x@y\r\nX-Bcc: no\r\n\r\nBcc: body\r\n`);
});

test('a message without a header, and one without a body', () => {
  expect(fixed('\r\nbody\r\n')).toBe(`${date}${messageId}\r\nbody\r\n`);
  expect(fixed('Subject: s\r\n')).toBe(`${date}${messageId}Subject: s\r\n`);
  expect(fixed('')).toBe(`${date}${messageId}`);
});

test('8-bit bytes stay as they are', () => {
  expect(fixed('Subject: \xe4\xff\r\n\r\n\xfe')).toContain('Subject: \xe4\xff\r\n\r\n\xfe');
});

const many = (count: number): string => 'some.body@example.org,\r\n '.repeat(count);

test('a header beyond the bound gets nothing added, and its Bcc goes all the same', () => {
  const body = '\r\nBcc: in the body\r\n';
  const fields = [`To: ${many(15_000)}x@y\r\n`, `Bcc: ${many(20_000)}x@y\r\n`, `X: ${'z'.repeat(5000)}\r\n`];
  const message = `Bcc: early@y\r\n${fields.join('')}resent-BCC: late@y\r\nSubject: s\r\n${body}`;
  for (const size of [1, 7, 4096, 65_536, message.length]) {
    const chunks = message.match(new RegExp(`[^]{1,${size}}`, 'g')) ?? [];
    expect(fixedPieces(chunks) === `${fields[0]}${fields[2]}Subject: s\r\n${body}`).toBe(true);
  }
});

test('a large header that ends with the message', () => {
  const long = `To: ${many(15_000)}x@y\r\n`;
  expect(fixed(long, 'Bcc: a@b\r\n', 'Bcc: c@d') === long).toBe(true);
  expect(fixed(long, 'Bcc: a@b\r\n', 'Subject: s') === `${long}Subject: s`).toBe(true);
});

test('the result does not depend on the cuts, and little is added', () => {
  const part = fc.constantFrom('Subject: s', 'Bcc: x', '\r\n', '\r\n\r\n', '\r', '\n', ' more', 'Date: d', ':', 'body');
  fc.assert(
    fc.property(fc.array(part, { maxLength: 20 }), fc.integer({ min: 1, max: 5 }), (parts, size) => {
      const message = parts.join('');
      const chunks = message.match(new RegExp(`[^]{1,${size}}`, 'g')) ?? [];
      expect(fixed(...chunks)).toBe(fixed(message));
      expect(fixed(message).length).toBeLessThanOrEqual(message.length + maxAddedHeaderBytes);
    }),
  );
});
