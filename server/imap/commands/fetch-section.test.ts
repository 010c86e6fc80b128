import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { MessageContent } from '#server/mail/ports.ts';
import { MessageScanner } from '#server/mime/message-scanner.ts';
import { chunksOf, spanBytes, spansOf, type BodyItem } from './fetch-section.ts';

const raw = Buffer.from('Subject: Hi\r\nTo: bob@example.net\r\n\r\nBody of some length\r\n');
const prefix = Buffer.from('Return-Path: <>\r\n');

function contentOf(bytes: Buffer, chunkBytes: number): MessageContent {
  const scanner = new MessageScanner();
  scanner.push(bytes);
  return {
    prefix,
    rawSize: bytes.length,
    root: scanner.finish().root,
    async *read(start, end) {
      for (let at = start; at < end; at += chunkBytes) yield bytes.subarray(at, Math.min(at + chunkBytes, end));
    },
  };
}

async function textOf(content: MessageContent, item: BodyItem): Promise<string | null> {
  const spans = await spansOf(content, item);
  if (spans === null) return null;
  const chunks: Buffer[] = [];
  for await (const chunk of chunksOf(content, spans)) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  expect(spanBytes(spans)).toBe(text.length);
  return text;
}

const whole: BodyItem = { kind: 'BODY[]', section: { path: [], text: null }, peek: true, partial: null };

test('a partial is the same slice of the whole, wherever prefix and chunks are cut', async () => {
  const all = Buffer.concat([prefix, raw]).toString();
  await fc.assert(
    fc.asyncProperty(
      fc.nat({ max: 100 }),
      fc.integer({ min: 1, max: 100 }),
      fc.integer({ min: 1, max: 30 }),
      async (offset, count, chunkBytes) => {
        const content = contentOf(raw, chunkBytes);
        expect(await textOf(content, whole)).toBe(all);
        const part = await textOf(content, { ...whole, partial: { offset, count } });
        expect(part).toBe(all.slice(offset, offset + count));
      },
    ),
  );
});

test.each([
  [{ kind: 'RFC822' }, `${prefix.toString()}${raw.toString()}`],
  [{ kind: 'RFC822.HEADER' }, 'Return-Path: <>\r\nSubject: Hi\r\nTo: bob@example.net\r\n\r\n'],
  [{ kind: 'RFC822.TEXT' }, 'Body of some length\r\n'],
  [{ ...whole, section: { path: [1], text: null } }, 'Body of some length\r\n'],
  [{ ...whole, section: { path: [2], text: null } }, null],
  [
    { ...whole, section: { path: [], text: { kind: 'HEADER.FIELDS', fields: ['return-path', 'TO'] } } },
    'Return-Path: <>\r\nTo: bob@example.net\r\n\r\n',
  ],
  [
    { ...whole, section: { path: [], text: { kind: 'HEADER.FIELDS.NOT', fields: ['to'] } } },
    'Return-Path: <>\r\nSubject: Hi\r\n\r\n',
  ],
] as const satisfies readonly (readonly [BodyItem, string | null])[])('%j is %j', async (item, expected) => {
  expect(await textOf(contentOf(raw, 7), item)).toBe(expected);
});
