import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SyntaxFault } from '#shared/text/scanner.ts';
import { decodePlain } from './plain.ts';

const encode = (text: string): string => Buffer.from(text).toString('base64');

test.each([
  // RFC 4616 section 4, and RFC 4954 section 4.1.
  ['AHRpbQB0YW5zdGFhZnRhbnN0YWFm', { login: 'tim', password: 'tanstaaftanstaaf' }],
  ['dGVzdAB0ZXN0ADEyMzQ=', { login: 'test', password: '1234' }],
  [encode('Tim\0tim\0pass'), { login: 'tim', password: 'pass' }],
  // Not in the grammar: the authenticator decides, and only development mode lets it pass.
  [encode('\0tim\0'), { login: 'tim', password: '' }],
  [encode('\0josé@example.org\0pässwörd'), { login: 'josé@example.org', password: 'pässwörd' }],
])('%s is %j', (line, expected) => {
  expect(decodePlain(line)).toEqual(expected);
});

test.each([
  ['acting for another (the second example of RFC 4616 section 4)', encode('Ursel\0Kurt\0xipj3plmq')],
  ['nothing', ''],
  ['the empty answer', '='],
  ['the cancelling star', '*'],
  ['no password', encode('\0tim')],
  ['an empty name', encode('\0\0pass')],
  ['one field too many', encode('\0tim\0pass\0')],
  ['bytes that are no UTF-8', Buffer.from([0, 0x74, 0, 0xff]).toString('base64')],
  ['base64 with a line break', 'AHRpbQB0YW5z\r\ndGFhZnRhbnN0YWFm'],
  ['base64 cut off', 'AHRpbQB0YW5zdGFhZnRhbnN0YWF'],
  ['more than RFC 4616 section 2 allows', encode(`\0tim\0${'x'.repeat(4000)}`)],
])('%s is refused', (_, line) => {
  expect(() => decodePlain(line)).toThrow(SyntaxFault);
});

test('any line is read or refused with a SyntaxFault', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.base64String(), fc.string({ unit: 'binary' }).map(encode)), (line) => {
      try {
        expect(decodePlain(line).login).not.toBe('');
      } catch (error) {
        expect(error).toBeInstanceOf(SyntaxFault);
      }
    }),
  );
});
