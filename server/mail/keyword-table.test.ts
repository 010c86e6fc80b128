import { expect, test } from 'vitest';
import { maxKeywords } from '#shared/base/limits.ts';
import { keywordBit, keywordNames, knownKeywordBits, withKeywords } from './keyword-table.ts';

const table = ['$Forwarded', 'Work'];

test('keywords are found without ASCII case, and only ASCII', () => {
  expect(keywordBit(table, 'WORK')).toBe(1);
  expect(keywordBit(['É'], 'é')).toBe(-1);
  expect(knownKeywordBits(table, ['work', 'other', 'Work', '$forwarded'])).toEqual([1, 0]);
});

test('new keywords go to the end, as first written', () => {
  expect(withKeywords(table, ['work', 'New', 'NEW'])).toEqual({ table: ['$Forwarded', 'Work', 'New'], bits: [1, 2] });
  expect(withKeywords(table, ['work']).table).toBe(table);
  expect(table).toHaveLength(2);
});

test('bits turn back into names', () => {
  expect(keywordNames(table, [1])).toEqual(['Work']);
  expect(() => keywordNames(table, [2])).toThrow('keyword bit 2');
});

test('there is room for so many keywords and no more', () => {
  const many = Array.from({ length: maxKeywords }, (_, i) => `k${i}`);
  const full = withKeywords([], many);
  expect(full.bits).toHaveLength(maxKeywords);
  expect(withKeywords(full.table, ['K5']).bits).toEqual([5]);
  expect(() => withKeywords(full.table, ['one-more'])).toThrow(
    expect.objectContaining({ fault: { kind: 'limit', reason: `a mailbox has at most ${maxKeywords} keywords` } }),
  );
  expect(() => withKeywords([], ['x'.repeat(256)])).toThrow(
    expect.objectContaining({ fault: { kind: 'limit', reason: 'a keyword has at most 255 bytes' } }),
  );
});
