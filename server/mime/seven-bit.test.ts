import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MessageScanner } from './message-scanner.ts';
import type { Part } from './part.ts';
import { planSevenBit, writeSevenBit } from './seven-bit.ts';
import { transferDecoder } from './transfer-encoding.ts';

const crlf = (text: string): string => text.replaceAll('\n', '\r\n');

function rootOf(bytes: Buffer): Part {
  const scanner = new MessageScanner();
  scanner.push(bytes);
  return scanner.finish().root;
}

/** Null: it can't be. `raw` is a binary string. */
async function converted(raw: string, pieceBytes = 7): Promise<string | null> {
  const bytes = Buffer.from(raw, 'latin1');
  const read = async function* (start: number, end: number): AsyncGenerator<Buffer> {
    for (let at = start; at < end; at += pieceBytes) yield bytes.subarray(at, Math.min(end, at + pieceBytes));
  };
  const plan = await planSevenBit(rootOf(bytes), read);
  if (plan === null) return null;
  let all = '';
  for await (const chunk of writeSevenBit(plan, read)) all += chunk.toString('latin1');
  return all;
}

type Leaf = { readonly type: string; readonly depth: number; readonly content: string };

/** What each part is, and what it holds once decoded. */
function leaves(raw: string): readonly Leaf[] {
  const bytes = Buffer.from(raw, 'latin1');
  const walk = (part: Part, depth: number): readonly Leaf[] => {
    const decoder = transferDecoder(part.encoding);
    const decoded = Buffer.concat([decoder.write(bytes.subarray(part.bodyStart, part.end)), decoder.end()]);
    const content = part.children.length === 0 ? decoded.toString('latin1') : '';
    const own = { type: `${part.type}/${part.subtype};${part.charset}`, depth, content };
    return [own, ...part.children.flatMap((child) => walk(child, depth + 1))];
  };
  return walk(rootOf(bytes), 0);
}

function expectFit(text: string | null): asserts text is string {
  expect(text).not.toBeNull();
  expect(text).toMatch(/^[\x00-\x7f]*$/);
  expect(Math.max(...(text ?? '').split('\r\n').map((line) => line.length))).toBeLessThanOrEqual(998);
}

const eightBit =
  'Subject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n';

describe('for a server without 8BITMIME, RFC 6152 section 3', () => {
  test('text becomes quoted-printable', async () => {
    expect(
      await converted(
        crlf(
          `${eightBit}Gr\xc3\xbc\xc3\x9fe = \n.\nThis line has a good deal more than the seventy-six characters that it may have\n`,
        ),
      ),
    ).toBe(
      crlf(
        'Subject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n' +
          'Gr=C3=BC=C3=9Fe =3D=20\n.\nThis line has a good deal more than the seventy-six characters that it may =\nhave\n',
      ),
    );
  });

  test('text of which most is not ASCII becomes base64, as what is no text does', async () => {
    const text = await converted(crlf(`${eightBit}\xd0\x9f\xd1\x80\xd0\xb8\n`));
    expect(text).toBe(crlf(`${eightBit.replace('8bit', 'base64')}0J/RgNC4DQo=\n`));
    const image = await converted(
      crlf('MIME-Version: 1.0\nContent-Type: image/x\nContent-Transfer-Encoding: binary\n\n\xff\xd8\n'),
    );
    expect(image).toBe(
      crlf('MIME-Version: 1.0\nContent-Type: image/x\nContent-Transfer-Encoding: base64\n\n/9gNCg==\n'),
    );
  });

  test('what never said what it is says that nobody knows, RFC 1428', async () => {
    expect(await converted(crlf('Subject: x\n\nGr\xfc\xdfe, and some more words\n'))).toBe(
      crlf(
        'Subject: x\nContent-Type: text/plain; charset=unknown-8bit\nMIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n\nGr=FC=DFe, and some more words\n',
      ),
    );
  });

  test('a multipart and a message inside it get no encoding of their own, their parts do', async () => {
    const raw = crlf(
      [
        'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 8bit\n\npreamble\n',
        '--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\nSubject: inner\nContent-Type: text/plain\nContent-Transfer-Encoding: 8bit\n\nGr\xc3\xbc\xc3\x9fe, and some more words\n',
        '--b\n\nplain\n--b--\nepilogue\n',
      ].join(''),
    );
    const text = await converted(raw);
    expect(text).toBe(
      raw
        .replaceAll('8bit', '7bit')
        .replace(
          'text/plain\r\nContent-Transfer-Encoding: 7bit',
          'text/plain\r\nContent-Transfer-Encoding: quoted-printable',
        )
        .replace('Gr\xc3\xbc\xc3\x9fe', 'Gr=C3=BC=C3=9Fe'),
    );
  });

  test('a soft line break makes no boundary', async () => {
    const raw = crlf(
      `MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\n${'x'.repeat(75)}--b \xc3\xbc\n--b--\n`,
    );
    const text = await converted(raw);
    expectFit(text);
    expect(leaves(text)).toEqual(leaves(raw));
  });

  const gruesse = 'Gr\xc3\xbc\xc3\x9fe, and some more words\n';
  test.each([
    ['a header', `Subject: Gr\xc3\xbc\xc3\x9fe\n\n${gruesse}`],
    [
      'a header inside',
      `Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Description: \xc3\xbc\n\n${gruesse}--b--\n`,
    ],
    ['what is between parts', `Content-Type: multipart/mixed; boundary=b\n\n${gruesse}--b\n\nx\n--b--\n`],
    [
      'what is signed',
      `Content-Type: multipart/signed; boundary=b\n\n--b\nContent-Type: text/plain\n\n${gruesse}--b--\n`,
    ],
    ['what is signed with DKIM by others', `DKIM-Signature: v=1\nContent-Type: text/plain\n\n${gruesse}`],
    ['what is sealed', `ARC-Seal: i=1\nContent-Type: text/plain\n\n${gruesse}`],
    ['what has an encoding', `Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\n${gruesse}`],
    ['what must not be encoded', `Content-Type: message/partial; id=x; number=1\n\n${gruesse}`],
    ['a multipart without parts', `Content-Type: multipart/mixed\n\n${gruesse}`],
  ])('8-bit bytes in %s: it can not be', async (_, raw) => {
    expect(await converted(crlf(raw))).toBeNull();
  });

  test('what is signed stays as it is beside a part that is converted', async () => {
    const signed =
      'Content-Type: multipart/signed; boundary=s\n\n--s\nContent-Type: text/plain\nContent-Transfer-Encoding: 8bit\n\nplain \n--s--\n';
    const text = await converted(
      crlf(`MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n${signed}--b\n\n${gruesse}--b--\n`),
    );
    expectFit(text);
    expect(text).toContain(crlf(signed));
  });

  const words = fc.string({
    unit: fc.constantFrom('a', 'b', ' ', '\t', '=', '.', '-', '-b', '\r\n', '\xc3\xbc', '\xff'),
    maxLength: 300,
  });
  const long = fc.constantFrom('', 'y'.repeat(1200));
  const type = fc.constantFrom('text/plain; charset=utf-8', 'text/html', 'application/x', 'image/y');
  const encoding = fc.constantFrom('', 'Content-Transfer-Encoding: 8bit\r\n', 'content-transfer-encoding: BINARY\r\n');
  const leaf = fc
    .tuple(type, encoding, words, long)
    .map(([of, as, body, more]) => `${as}Content-Type: ${of}\r\n\r\n${body}${more}`);
  const { entity } = fc.letrec<{ entity: string; multipart: string; message: string }>((tie) => ({
    entity: fc.oneof({ depthSize: 'small', withCrossShrink: true }, leaf, tie('multipart'), tie('message')),
    // A boundary that nothing but it has: deeper ones are longer.
    multipart: fc.array(tie('entity'), { minLength: 1, maxLength: 3 }).map((parts) => {
      const boundary = `=_${parts.join('').length}x`;
      return `Content-Type: multipart/mixed; boundary="${boundary}"\r\n\r\n${parts.map((part) => `--${boundary}\r\n${part}\r\n`).join('')}--${boundary}--`;
    }),
    message: tie('entity').map((inner) => `Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n${inner}`),
  }));

  test('whatever it is: ASCII, short lines, the same parts with the same content, the same each time', async () => {
    await fc.assert(
      fc.asyncProperty(entity, fc.integer({ min: 1, max: 100 }), async (inner, pieceBytes) => {
        const raw = `Subject: x\r\nMIME-Version: 1.0\r\n${inner}\r\n`;
        const text = await converted(raw, pieceBytes);
        expectFit(text);
        expect(leaves(text)).toEqual(leaves(raw));
        expect(await converted(raw, 1000)).toBe(text);
        expect(await converted(text)).toBe(text);
      }),
      { numRuns: 300 },
    );
  });
});
