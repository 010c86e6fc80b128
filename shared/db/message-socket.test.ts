import fc from 'fast-check';
import { expect, test } from 'vitest';
import { WholeMessages } from './message-socket.ts';

function message(code: number, body: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head[0] = code;
  head.writeUInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

test('however a stream is cut, whole messages come out, and all of them', () => {
  const body = fc.oneof(fc.uint8Array({ maxLength: 12 }), fc.uint8Array({ minLength: 300, maxLength: 3000 }));
  const messages = fc.array(fc.tuple(fc.nat(255), body), { maxLength: 12 });
  fc.assert(
    fc.property(messages, fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 20 }), (sent, cuts) => {
      const stream = Buffer.concat(sent.map(([code, bytes]) => message(code, bytes)));
      const cutter = new WholeMessages();
      const heard: Buffer[] = [];
      // One piece of memory for all reads, as the socket has it.
      const memory = Buffer.alloc(700);
      for (let at = 0, i = 0; at < stream.length; i++) {
        const bytes = stream.copy(memory, 0, at, at + (cuts[i % cuts.length] ?? 1));
        at += bytes;
        cutter.push(memory.subarray(0, bytes), (whole) => {
          for (let start = 0; start < whole.length;) {
            const end = start + 1 + whole.readUInt32BE(start + 1);
            expect(end).toBeLessThanOrEqual(whole.length);
            heard.push(Buffer.from(whole.subarray(start, end)));
            start = end;
          }
        });
      }
      expect(Buffer.concat(heard).equals(stream)).toBe(true);
      expect(heard).toHaveLength(sent.length);
    }),
  );
});

test('a message far larger than its memory at first', () => {
  const large = message(100, Buffer.alloc(3_000_000, 'x'));
  const stream = Buffer.concat([message(90, Buffer.from('I')), large, message(90, Buffer.from('T'))]);
  const cutter = new WholeMessages();
  const sizes: number[] = [];
  for (let at = 0; at < stream.length; at += 65_536) {
    cutter.push(stream.subarray(at, at + 65_536), (whole) => sizes.push(whole.length));
  }
  expect(sizes).toEqual([6, large.length, 6]);
});
