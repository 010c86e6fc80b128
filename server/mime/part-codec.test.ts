import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeParts, encodeParts } from './part-codec.ts';
import type { Part } from './part.ts';

const word = fc.oneof(
  fc.constantFrom('text', 'plain', '7bit', 'x'),
  fc.string({ minLength: 1 }).filter((s) => !s.includes('/')),
);

const { part } = fc.letrec<{ part: Part }>((tie) => ({
  part: fc
    .record({
      headerStart: fc.nat(),
      headerBytes: fc.nat(),
      bodyBytes: fc.nat(),
      type: word,
      subtype: word,
      charset: fc.option(word),
      encoding: word,
      children: fc.oneof({ depthSize: 'small' }, fc.constant<Part[]>([]), fc.array(tie('part'), { maxLength: 3 })),
    })
    .map(({ headerStart, headerBytes, bodyBytes, type, subtype, charset, encoding, children }) => {
      const bodyStart = headerStart + headerBytes;
      return { headerStart, bodyStart, end: bodyStart + bodyBytes, type, subtype, charset, encoding, children };
    }),
}));

test('decoding what was encoded gives the same parts', () => {
  fc.assert(
    fc.property(part, (root) => {
      expect(decodeParts(encodeParts(root))).toEqual(root);
    }),
  );
});

test('a plain message takes few bytes', () => {
  const root: Part = {
    headerStart: 0,
    bodyStart: 700,
    end: 4000,
    type: 'text',
    subtype: 'plain',
    charset: null,
    encoding: '7bit',
    children: [],
  };
  expect(encodeParts(root)).toBe('[0,700,3300,0,0,0]');
});
