import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LineBuffer } from './line-buffer.ts';

test('texts and numbers stand in it as they were put, also where they need more room than it has', () => {
  const binary = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)) });
  const whole = fc.oneof(fc.nat(), fc.integer({ min: 0, max: 2 ** 32 }), fc.maxSafeNat());
  fc.assert(
    fc.property(
      fc.array(fc.oneof(binary, whole)),
      fc.constantFrom(0, 1, 131_000, 131_072, 300_000),
      (pieces, before) => {
        using lines = new LineBuffer();
        lines.text('x'.repeat(before));
        for (const piece of pieces) {
          if (typeof piece === 'string') lines.text(piece);
          else lines.number(piece);
        }
        const expected = 'x'.repeat(before) + pieces.join('');
        expect(lines.length).toBe(expected.length);
        expect(lines.bytes.toString('latin1')).toBe(expected);
        lines.clear();
        lines.number(10);
        expect(lines.bytes.toString('latin1')).toBe('10');
      },
    ),
    { numRuns: 60 },
  );
});
