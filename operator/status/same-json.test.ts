import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { sameJson } from './same-json.ts';

/** Few different values, so that two of them are the same often. */
const json = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom<unknown>(null, undefined, true, 0, 1, '', 'a'),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom('x', 'y', 'z'), tie('value'), { maxKeys: 3, noNullPrototype: true }),
  ),
})).value;

test('says what Node says of JSON', () => {
  fc.assert(
    fc.property(json, json, (a, b) => {
      expect(sameJson(a, b)).toBe(isDeepStrictEqual(a, b));
      expect(sameJson(a, structuredClone(a))).toBe(true);
    }),
    { numRuns: 2_000 },
  );
});

test.each([
  [[], {}],
  [{ x: undefined }, {}],
  [{ x: undefined }, { y: undefined }],
  [null, {}],
  [{ x: [1, 2] }, { x: [2, 1] }],
])('%j is not %j', (a, b) => {
  expect(sameJson(a, b)).toBe(false);
  expect(sameJson(b, a)).toBe(false);
});

test('the order of keys says nothing', () => {
  expect(sameJson({ x: 1, y: { a: null, b: 'c' } }, { y: { b: 'c', a: null }, x: 1 })).toBe(true);
});
