import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { charsetDecoder } from './charset.ts';
import { decodeEncodedWords } from './encoded-word.ts';
import { MessageScanner } from './message-scanner.ts';
import { bodyText, fieldTexts, foldText, headerText } from './search-text.ts';
import { transferDecoder } from './transfer-encoding.ts';

function* cut(bytes: Buffer, size: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function body(message: string, chunk = 7): Promise<string> {
  const bytes = Buffer.from(message.replaceAll('\n', '\r\n'), 'latin1');
  const scanner = new MessageScanner();
  scanner.push(bytes);
  const read = async function* (start: number, end: number) {
    yield* cut(bytes.subarray(start, end), chunk);
  };
  let text = '';
  for await (const piece of bodyText(scanner.finish().root, read)) text += piece;
  return text;
}

describe('encoded words, RFC 2047', () => {
  test.each([
    ['=?iso-8859-1?q?caf=E9_au_lait?=', 'café au lait'],
    ['=?UTF-8?B?4oKs?= x', '€ x'],
    ['a =?utf-8?q?b?= =?utf-8?q?c?= d', 'a bc d'],
    ['=?utf-8?b?4oI=?= =?utf-8?b?rA==?=', '€'],
    ['=?utf-8*en?q?x?=', 'x'],
    ['=?unknown?q?=E9?=', 'é'],
    ['=?utf-8?q?not ended', '=?utf-8?q?not ended'],
    ['=?koi8-r?b?8NLJ18XU?=', 'Привет'],
    ['=?iso-2022-jp?b?GyRCRnxLXBsoQg==?=', '日本'],
    ['=?utf-7?q?+AOk-?=', 'é'],
    ['\xc3\xa9', 'é'],
    ['\xe9', 'é'],
  ])('%s', (value, expected) => expect(decodeEncodedWords(value)).toBe(expected));
});

describe('decoding in pieces', () => {
  test('base64 and quoted-printable give the bytes however they are cut', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 1, max: 50 }), (data, size) => {
        const bytes = Buffer.from(data);
        const base64 = (bytes.toString('base64').match(/.{1,76}/g) ?? []).join('\r\n');
        const quoted = [...bytes]
          .map((b, n) => `=${b.toString(16).padStart(2, '0')}${n % 20 === 19 ? '= \r\n' : ''}`)
          .join('');
        for (const [encoding, text] of [
          ['base64', base64],
          ['Quoted-Printable', quoted],
        ] as const) {
          const decoder = transferDecoder(encoding);
          const pieces = [...cut(Buffer.from(text), size)].map((piece) => Buffer.from(decoder.write(piece)));
          expect(Buffer.concat([...pieces, decoder.end()])).toEqual(bytes);
        }
      }),
    );
  });

  test('text comes out whole however its bytes are cut', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 1, max: 9 }), (text, size) => {
        for (const charset of [null, 'UTF-8']) {
          const decoder = charsetDecoder(charset);
          const pieces = [...cut(Buffer.from(text), size)].map((piece) => decoder.write(piece));
          expect(pieces.join('') + decoder.end()).toBe(text);
        }
      }),
    );
  });

  test('padding in the middle of base64 doesn’t shift what follows', () => {
    const decoder = transferDecoder('base64');
    expect(decoder.write(Buffer.from('YQ==YmM=ZGVm')).toString() + decoder.end().toString()).toBe('abcdef');
  });

  test('bytes that are no UTF-8 are Latin-1', () => {
    const decoder = charsetDecoder('us-ascii');
    expect(decoder.write(Buffer.from('caf\xe9', 'latin1')) + decoder.end()).toBe('café');
  });
});

describe('what SEARCH looks through', () => {
  test('header fields, decoded and unfolded', () => {
    const header = 'Subject: =?utf-8?q?=C3=A9?=\r\n x\r\nTo: a@b\r\nsubject: two\r\n\r\n';
    expect(fieldTexts(header, 'SUBJECT')).toEqual(['é x', 'two']);
    expect(fieldTexts(header, 'cc')).toEqual([]);
    expect(headerText(header)).toBe('Subject: é x\nTo: a@b\nsubject: two\n');
  });

  test('text parts, decoded, and headers of messages inside; nothing else', async () => {
    const text = await body(
      'Content-Type: multipart/mixed; boundary=x\n\npreamble\n' +
        '--x\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nna=EFve=\n!\n' +
        '--x\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64\n\nPGI+4oKsPC9iPg==\n' +
        '--x\nContent-Type: application/pdf\n\nbinary\n' +
        '--x\nContent-Type: message/rfc822\n\nSubject: =?utf-8?q?inn=65r?=\n\ntext\n--x--\nepilogue\n',
    );
    expect(text).toBe('naïve!\n<b>€</b>\nSubject: inner\ntext\n');
  });

  test('a long line passes in bounded pieces', async () => {
    const line = 'x'.repeat(300_000);
    expect(await body(`\n${line}`, 10_000)).toBe(`${line}\n`);
  });

  test('case, width and composition are folded, accents are not', () => {
    expect(foldText('StraSSE Cafe\u0301 ＡＢＣ')).toBe('strasse café abc');
    expect(foldText('ΔΗΜΟΣΙΟ')).toContain(foldText('ΔΗΜΟΣ'));
    expect(foldText('δήμος')).toBe(foldText('ΔΉΜΟΣ'));
    expect(foldText('cafe')).not.toBe(foldText('café'));
  });
});
