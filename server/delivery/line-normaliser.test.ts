import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LineNormaliser } from './line-normaliser.ts';

function normalised(chunks: readonly string[]): string {
  const filter = new LineNormaliser();
  const out = chunks.map((chunk) => filter.push(Buffer.from(chunk, 'latin1')));
  return Buffer.concat([...out, filter.finish()]).toString('latin1');
}

test.each([
  ['a\nb', 'a\r\nb'],
  ['a\rb', 'a\r\nb'],
  ['a\r\nb', 'a\r\nb'],
  ['a\r\r\nb', 'a\r\n\r\nb'],
  ['a\n\rb', 'a\r\n\r\nb'],
  ['a\0b', 'ab'],
  ['\n', '\r\n'],
  ['\r', '\r\n'],
])('%j becomes %j', (given, wanted) => {
  expect(normalised([given])).toBe(wanted);
});

const piece = fc.array(fc.constantFrom('\r', '\n', '\r\n', '\0', 'word', '\xfe'), { maxLength: 8 });

test('the result has no lone CR or LF and no NUL, does not depend on the cuts, and is left as it is the second time', () => {
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 6 }), (pieces) => {
      const chunks = pieces.map((parts) => parts.join(''));
      const result = normalised(chunks);
      expect(result).not.toMatch(/\r(?!\n)|(?<!\r)\n|\0/);
      expect(normalised([chunks.join('')])).toBe(result);
      expect(normalised([result])).toBe(result);
    }),
  );
});

test('clean bytes are passed on without copying', () => {
  const chunk = Buffer.from('a\r\nb\r\n');
  expect(new LineNormaliser().push(chunk)).toBe(chunk);
});
