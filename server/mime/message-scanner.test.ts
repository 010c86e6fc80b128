import process from 'node:process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { maxEnvelopeAddresses, maxHeaderBytes, maxMimeDepth, maxMimeParts } from '#shared/base/limits.ts';
import { bodyWithoutExtensions } from './bodystructure.ts';
import { MessageScanner } from './message-scanner.ts';
import type { MessageIndex, Part } from './part.ts';

function scan(text: string | Buffer, cuts: readonly number[] = []): MessageIndex {
  const bytes = typeof text === 'string' ? Buffer.from(text, 'latin1') : text;
  const scanner = new MessageScanner();
  const borders = [0, ...cuts.filter((cut) => cut < bytes.length).toSorted((a, b) => a - b), bytes.length];
  for (let n = 0; n + 1 < borders.length; n++) {
    const chunk = Buffer.from(bytes.subarray(borders[n], borders[n + 1]));
    scanner.push(chunk);
    chunk.fill(0x58); // The scanner must not keep what belongs to the caller.
  }
  return scanner.finish();
}

/** Pieces that make headers, boundaries and the like likely. */
const fragment = fc.constantFrom<string>(
  '\r\n',
  '\r\n',
  '\n',
  '\r',
  '\r\n\r\n',
  '--',
  '--a',
  '--ab',
  '\r\n--a\r\n',
  '\r\n--ab--\r\n',
  '--a--',
  ' ',
  '\t',
  '\0',
  'Content-Type: multipart/mixed; boundary=a\r\n',
  'Content-Type: multipart/digest; boundary="ab"\r\n',
  'Content-Type: message/rfc822\r\n',
  'Content-Type: text/html; charset=x\r\n',
  'Subject: \xe9"\\\r\n',
  'x',
  '(',
  'From: a, "b" <c@d>, g: e@f;\r\n',
  'Content-Disposition: inline; filename*0*=a; filename*1="',
  'Received: x\r\n',
);
const message = fc.array(fragment, { maxLength: 60 }).map((pieces) => pieces.join(''));

function everyPart(part: Part): readonly Part[] {
  return [part, ...part.children.flatMap(everyPart)];
}

describe('any bytes', () => {
  test('give the same index however they are cut into chunks', () => {
    fc.assert(
      fc.property(message, fc.array(fc.nat(600)), (text, cuts) => {
        const whole = scan(text);
        expect(scan(text, cuts)).toEqual(whole);
        expect(
          scan(
            text,
            Array.from({ length: text.length }, (_, n) => n),
          ),
        ).toEqual(whole);
      }),
      { numRuns: 300 },
    );
  });

  test('give parts that lie within each other, and a structure that BODY can be made from', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          message,
          fc.string({ unit: 'binary', maxLength: 300 }).map((s) => Buffer.from(s, 'utf8').toString('latin1')),
        ),
        (text) => {
          const { root, bodystructure, envelope } = scan(text);
          expect([root.headerStart, root.end]).toEqual([0, text.length]);
          for (const part of everyPart(root)) {
            expect(part.headerStart).toBeLessThanOrEqual(part.bodyStart);
            expect(part.bodyStart).toBeLessThanOrEqual(part.end);
            let at = part.bodyStart;
            for (const child of part.children) {
              expect(child.headerStart).toBeGreaterThanOrEqual(at);
              at = child.end;
            }
            expect(at).toBeLessThanOrEqual(part.end);
          }
          expect(bodyWithoutExtensions(bodystructure).length).toBeLessThan(bodystructure.length);
          expect(envelope + bodystructure).not.toContain('\0');
        },
      ),
    );
  });

  test('are counted: bare CR, bare LF, NUL, line feeds', () => {
    fc.assert(
      fc.property(message, fc.array(fc.nat(600)), (text, cuts) => {
        const { hasBareCr, hasBareLf, hasNul } = scan(text, cuts);
        expect({ hasBareCr, hasBareLf, hasNul }).toEqual({
          hasBareCr: /\r(?!\n)/.test(text),
          hasBareLf: /(?<!\r)\n/.test(text),
          hasNul: text.includes('\0'),
        });
      }),
    );
  });
});

describe('a message', () => {
  test('has its Date, as written, and its Received fields', () => {
    const index = scan('Received: a\r\nreceived: b\r\nDate: Mon, 1 Jan 2001 01:00:00 +0200\r\n\r\nReceived: no\r\n');
    expect(index.receivedFields).toBe(2);
    expect(index.sentAt).toEqual({ at: new Date('2000-12-31T23:00:00Z'), day: '2001-01-01' });
    expect(scan('Date: soon\r\n\r\n').sentAt).toBeNull();
  });

  test('with LF alone has the same structure', () => {
    const text = 'Content-Type: multipart/mixed; boundary=x\n\n--x\n\na\nb\n--x\nContent-Type: text/html\n\nc\n--x--\n';
    expect(scan(text).bodystructure).toBe(
      '(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 1 NIL NIL NIL NIL)' +
        '("text" "html" ("charset" "us-ascii") NIL NIL "7bit" 1 0 NIL NIL NIL NIL) "mixed" ("boundary" "x") NIL NIL NIL)',
    );
  });

  test('inside a message has its envelope, body and lines', () => {
    const { bodystructure, root } = scan('Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nbody\r\n');
    expect(bodystructure).toBe(
      '("message" "rfc822" NIL NIL NIL "7bit" 20 (NIL "x" NIL NIL NIL NIL NIL NIL NIL NIL) ' +
        '("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 6 1 NIL NIL NIL NIL) 3 NIL NIL NIL NIL)',
    );
    expect(root.children).toHaveLength(1);
  });

  test('8-bit bytes of a header are literals in its structures', () => {
    expect(scan('Subject: \xe9\r\n\r\n').envelope).toContain('{1}\r\n\xe9 ');
  });

  test('a scanner is used once', () => {
    const scanner = new MessageScanner();
    scanner.finish();
    expect(() => scanner.finish()).toThrow();
    expect(() => scanner.push(Buffer.from('x'))).toThrow();
  });
});

describe('limits', () => {
  test('entities deeper than maxMimeDepth are opaque', () => {
    const depth = 5000;
    const open = Array.from(
      { length: depth },
      (_, n) => `Content-Type: multipart/mixed; boundary=b${n}x\r\n\r\n--b${n}x\r\n`,
    );
    const deepest = (part: Part): [Part, number] => {
      let [at, levels] = [part, 1];
      for (; at.children[0]; at = at.children[0]) levels++;
      return [at, levels];
    };
    const [leaf, levels] = deepest(scan(`${open.join('')}\r\nx\r\n`).root);
    expect(levels).toBe(maxMimeDepth);
    expect([leaf.type, leaf.subtype]).toEqual(['application', 'octet-stream']);
    const [end, chain] = deepest(scan('Content-Type: message/rfc822\r\n\r\n'.repeat(500)).root);
    expect([end.type, chain]).toEqual(['application', maxMimeDepth]);
  });

  test('the last part that is told apart takes in the rest', () => {
    const parts = '--x\r\n\r\na\r\n'.repeat(maxMimeParts + 5);
    const text = `Content-Type: multipart/mixed; boundary=x\r\n\r\n${parts}--x--\r\n`;
    const { root } = scan(text);
    expect(everyPart(root)).toHaveLength(maxMimeParts);
    expect(root.children.at(-1)?.end).toBe(text.length);
  });

  test('a header section beyond maxHeaderBytes is body from there on', () => {
    const text = `Subject: x\r\nX: ${'y'.repeat(maxHeaderBytes)}\r\n\r\nbody`;
    expect(scan(text, [100, 70_000, maxHeaderBytes - 1]).root.bodyStart).toBe(maxHeaderBytes);
    expect(scan(text).envelope).toContain('"x"');
  });

  test('the envelopes of a message tell maxEnvelopeAddresses addresses at most', () => {
    const { envelope } = scan(`From: a\r\nTo: ${'a,'.repeat(2 * maxEnvelopeAddresses)}\r\n\r\n`);
    expect(envelope.match(/"a"/g)).toHaveLength(maxEnvelopeAddresses + 2);
  });

  test('nothing takes more than linear time', () => {
    const nasty = [
      `To: ${'<@,'.repeat(300_000)}\r\n\r\n`,
      `To: ${'('.repeat(900_000)}\r\n\r\n`,
      `Subject: ${' '.repeat(900_000)}x\r\n\r\n`,
      `Date: ${' '.repeat(900_000)}x\r\n\r\n`,
      `Content-Type: a/b${'; x*0'.repeat(200_000)}\r\n\r\n`,
      `${'x\r\n'.repeat(300_000)}\r\n`,
      `Content-Type: multipart/mixed; boundary=x\r\n\r\n${'--\r\n'.repeat(250_000)}`,
    ];
    for (const text of nasty) {
      // Of the processor, so that a busy machine fails nothing: what takes the square of the length takes minutes.
      const before = process.cpuUsage();
      scan(text);
      expect(process.cpuUsage(before).user / 1000).toBeLessThan(2000);
    }
  });
});
