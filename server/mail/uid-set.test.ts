import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatUidSet, uidSet, uidSetHas, uidSetOf } from './uid-set.ts';

const uid = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 0xffff_ffe0, max: 0xffff_ffff }));

test('a set holds what its ranges hold, in order and joined', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(uid, uid), { maxLength: 8 }), uid, (ranges, one) => {
      const set = uidSet(ranges);
      const within = ranges.some(([a, b]) => Math.min(a, b) <= one && one <= Math.max(a, b));
      expect(uidSetHas(set, one)).toBe(within);
      for (const [i, [first, last]] of set.entries()) {
        expect(first).toBeLessThanOrEqual(last);
        expect(first).toBeGreaterThan((set[i - 1]?.[1] ?? -1) + 1);
      }
    }),
  );
});

test('a set of single UIDs is the set of their ranges', () => {
  fc.assert(
    fc.property(fc.array(uid), (uids) => {
      expect(uidSetOf(uids)).toEqual(uidSet(uids.map((uid) => [uid, uid])));
    }),
  );
});

test('is written as RFC 4315 has it', () => {
  expect(formatUidSet(uidSetOf([7, 2, 3, 1, 3]))).toBe('1:3,7');
  expect(formatUidSet(uidSet([[0xffff_ffff, 1]]))).toBe('1:4294967295');
  expect(formatUidSet([])).toBe('');
});
