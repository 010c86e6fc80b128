import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Scanner } from '#shared/text/scanner.ts';
import { decodeModifiedUtf7, encodeModifiedUtf7, formatMailbox, mailbox } from './mailbox-name.ts';

describe('modified UTF-7 (RFC 3501 section 5.1.3)', () => {
  test.each([
    ['~peter/mail/&U,BTFw-/&ZeVnLIqe-', '~peter/mail/台北/日本語'],
    ['R&-D', 'R&D'],
    ['&-&-', '&&'],
    ['&Jjo-!', '☺!'],
    ['Entw&APw-rfe', 'Entwürfe'],
    ['&2D3eAA-', '😀'],
    ['', ''],
  ])('%s is %s', (coded, name) => {
    expect(decodeModifiedUtf7(coded)).toBe(name);
    expect(encodeModifiedUtf7(name)).toBe(coded);
  });

  test.each([
    ['an unterminated shift', '&Jjo'],
    ['an unterminated shift (RFC 3501 section 5.1.3)', '&Jjo!'],
    ['a superfluous shift (RFC 3501 section 5.1.3)', '&U,BTFw-&ZeVnLIqe-'],
    ['ASCII in base64', '&AGEAYg-'],
    ['an ampersand in base64', '&ACY-'],
    ['half a UTF-16 unit', '&Jj-'],
    ['padding bits that are not 0', '&Jjp-'],
    ['base64 padding', '&Jjo=-'],
    ['a slash for the comma', '&U/BTFw-'],
    ['a lone surrogate', '&2D0-'],
    ['a NUL', '&AAA-'],
    ['a byte above 127', 'Entw\xc3\xbcrfe'],
    ['a control character', 'a\tb'],
    ['an ampersand at the end', 'a&'],
  ])('%s is refused', (_, coded) => {
    expect(decodeModifiedUtf7(coded)).toBeNull();
  });

  test('what is encoded decodes to the same, in printable ASCII', () => {
    const name = fc.string({ unit: 'binary' }).filter((text) => text.isWellFormed() && !text.includes('\0'));
    fc.assert(
      fc.property(name, (name) => {
        const coded = encodeModifiedUtf7(name);
        expect(coded).toMatch(/^[\x20-\x7e]*$/);
        expect(decodeModifiedUtf7(coded)).toBe(name);
      }),
    );
  });

  test('each name has one spelling', () => {
    const unit = fc.constantFrom('&', '-', ',', 'A', 'G', 'E', 'Y', 'J', 'j', 'o', 'a', '+');
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 12 }), (coded) => {
        const name = decodeModifiedUtf7(coded);
        if (name !== null) expect(encodeModifiedUtf7(name)).toBe(coded);
      }),
      { numRuns: 2000 },
    );
  });
});

test.each([
  ['iNbOx', 'INBOX'],
  ['"inbox/a b"', 'INBOX/a b'],
  ['{3}\r\na"b', 'a"b'],
  ['"Caf&AGUDAQ-"', null],
  ['Cafe&AwE-', 'Café'],
])('the mailbox %j is %j', (text, name) => {
  if (name === null) expect(() => mailbox(new Scanner(text))).toThrow('modified UTF-7');
  else expect(mailbox(new Scanner(text))).toBe(name);
});

test.each([
  ['Work', 'Work'],
  ['nil', '"nil"'],
  ['a b', '"a b"'],
  ['[Gmail]', '"[Gmail]"'],
  ['1', '"1"'],
  ['', '""'],
  ['a"\\', '"a\\"\\\\"'],
  ['日本語', '"&ZeVnLIqe-"'],
])('%s is written %s', (name, text) => {
  expect(formatMailbox(name)).toBe(text);
});
