import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isExpired, isUnreachable } from './kube-error.ts';
import { watchEvents, type RawEvent } from './watch-stream.ts';

async function read(chunks: readonly (Buffer | string)[]): Promise<{ events: RawEvent[]; error: unknown }> {
  const events: RawEvent[] = [];
  const body = Readable.from(chunks.map((chunk) => Buffer.from(chunk))) as unknown as IncomingMessage;
  try {
    for await (const event of watchEvents(body, { idleMs: 1_000, what: 'watch' })) events.push(event);
    return { events, error: null };
  } catch (error) {
    return { events, error };
  }
}

/** `bytes` in pieces that end at `cuts`. */
function pieces(bytes: Buffer, cuts: readonly number[]): readonly Buffer[] {
  const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).toSorted((one, other) => one - other), bytes.length];
  return at.slice(1).map((end, index) => bytes.subarray(at[index], end));
}

const event = fc.record({
  type: fc.constantFrom('ADDED', 'MODIFIED', 'DELETED'),
  object: fc.record({ name: fc.string({ unit: 'grapheme' }), lines: fc.array(fc.string()) }),
});

test('the same bytes in any chunks are the same events', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(event, { maxLength: 8 }), fc.array(fc.nat(2_000)), async (events, cuts) => {
      const bytes = Buffer.from(events.map((each) => `${JSON.stringify(each)}\n`).join(''));
      expect(await read(pieces(bytes, cuts))).toEqual({ events, error: null });
    }),
  );
});

test('a stream that ends in the middle of an event has failed, after the events before it', async () => {
  const { events, error } = await read(['{"type":"ADDED","object":{}}\n{"type":"MODI']);
  expect(events).toEqual([{ type: 'ADDED', object: {} }]);
  expect(isUnreachable(error)).toBe(true);
});

test('an error of the server is thrown as what it is', async () => {
  const status = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version: 1 (9)' };
  const { error } = await read([`${JSON.stringify({ type: 'ERROR', object: status })}\n`]);
  expect(isExpired(error)).toBe(true);
  expect((error as Error).message).toBe('watch: too old resource version: 1 (9)');
});

test('what is no JSON has failed', async () => {
  expect(isUnreachable((await read(['<html>\n'])).error)).toBe(true);
});
