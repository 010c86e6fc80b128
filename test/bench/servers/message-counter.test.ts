import { expect, test } from 'vitest';
import fc from 'fast-check';
import { MessageCounter } from './message-counter.ts';

function message(type: string, bytes: number): Buffer {
  const all = Buffer.alloc(type.length + 4 + bytes, 'S');
  all.write(type, 'latin1');
  all.writeUInt32BE(4 + bytes, type.length);
  return all;
}

const kinds = ['Q', 'S', 'P', 'B', 'E', 'd', 'X'] as const;

test('Query and Sync are counted, in any chunks, and nothing inside of a message or of the startup', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom(...kinds), fc.nat(40))),
      fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }),
      (messages, sizes) => {
        const stream = Buffer.concat([message('', 20), ...messages.map(([type, bytes]) => message(type, bytes))]);
        const counter = new MessageCounter();
        let found = 0;
        for (let at = 0, n = 0; at < stream.length; n++) {
          const size = sizes[n % sizes.length] as number;
          found += counter.hear(stream.subarray(at, at + size));
          at += size;
        }
        expect(found).toBe(messages.filter(([type]) => type === 'Q' || type === 'S').length);
      },
    ),
  );
});
