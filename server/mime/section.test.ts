import { describe, expect, test } from 'vitest';
import { MessageScanner } from './message-scanner.ts';
import { findPart, headerFields, sectionRange } from './section.ts';
import type { SectionText } from './section.ts';

// After the example of RFC 3501 section 6.4.5, with bodies that name themselves.
const message = [
  'Subject: outer\nContent-Type: multipart/mixed; boundary=o\n\n',
  '--o\nContent-Type: text/plain\n\none\n',
  '--o\nContent-Type: message/rfc822\n\nSubject: two\nContent-Type: multipart/mixed; boundary=i\n\n',
  '--i\nContent-Type: text/html\n\ntwo-one\n--i\n\ntwo-two\n--i--\n',
  '\n--o\nContent-Type: message/rfc822\nX-Mime: 3\n\nSubject: three\n\nthree-one\n--o--\n',
]
  .join('')
  .replaceAll('\n', '\r\n');

function section(text: string, path: readonly number[], kind: SectionText | null): string | null {
  const scanner = new MessageScanner();
  scanner.push(Buffer.from(text, 'latin1'));
  const range = sectionRange(scanner.finish().root, path, kind);
  return range && text.slice(range.start, range.end);
}

describe('BODY[section], RFC 3501 section 6.4.5', () => {
  test.each<[readonly number[], SectionText | null, string | null]>([
    [[], null, message],
    [[], 'HEADER', 'Subject: outer\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n'],
    [[], 'TEXT', message.slice(message.indexOf('--o'))],
    [[], 'MIME', null],
    [[1], null, 'one'],
    [[1], 'MIME', 'Content-Type: text/plain\r\n\r\n'],
    [[1], 'HEADER', null],
    [[1, 1], null, null],
    [[2], 'HEADER', 'Subject: two\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n'],
    [[2, 1], null, 'two-one'],
    [[2, 1], 'MIME', 'Content-Type: text/html\r\n\r\n'],
    [[2, 2], null, 'two-two'],
    [[2, 3], null, null],
    [[3], null, 'Subject: three\r\n\r\nthree-one'],
    [[3], 'MIME', 'Content-Type: message/rfc822\r\nX-Mime: 3\r\n\r\n'],
    [[3], 'HEADER', 'Subject: three\r\n\r\n'],
    [[3], 'HEADER.FIELDS', 'Subject: three\r\n\r\n'],
    [[3], 'TEXT', 'three-one'],
    [[3, 1], null, 'three-one'],
    [[3, 1, 1], null, null],
    [[4], null, null],
    [[0], null, null],
  ])('BODY[%j %s]', (path, kind, expected) => {
    expect(section(message, path, kind)).toBe(expected);
  });

  test('a message that is no multipart is its own part 1', () => {
    expect(section('A: b\r\n\r\nbody', [1], null)).toBe('body');
    expect(section('A: b\r\n\r\nbody', [1], 'MIME')).toBe('A: b\r\n\r\n');
    expect(section('A: b\r\n\r\nbody', [1, 1], null)).toBeNull();
    const embedded = 'Content-Type: message/rfc822\r\n\r\nC: d\r\n\r\nbody';
    expect(section(embedded, [1], 'HEADER')).toBe('C: d\r\n\r\n');
    expect(section(embedded, [1, 1], null)).toBe('body');
  });

  test('an empty path names no part', () => {
    const scanner = new MessageScanner();
    expect(findPart(scanner.finish().root, [])).toBeNull();
  });
});

describe('HEADER.FIELDS', () => {
  const header = Buffer.from('Subject: a\r\n b\r\nTO : c\r\nno field\r\nX: \xe9\r\nsubject: d\r\n\r\n', 'latin1');

  test('gives the fields named, byte for byte, and the empty line', () => {
    expect(headerFields(header, ['SUBJECT', 'To'], false).toString('latin1')).toBe(
      'Subject: a\r\n b\r\nTO : c\r\nsubject: d\r\n\r\n',
    );
    expect(headerFields(header, ['none'], false).toString('latin1')).toBe('\r\n');
  });

  test('.NOT gives all others', () => {
    expect(headerFields(header, ['SUBJECT', 'To'], true).toString('latin1')).toBe('no field\r\nX: \xe9\r\n\r\n');
  });

  test('a header without its empty line gets none', () => {
    expect(headerFields(Buffer.from('A: b'), ['a'], false).toString()).toBe('A: b');
    expect(headerFields(Buffer.from('A: b\r\n'), ['a'], true).toString()).toBe('');
  });
});
