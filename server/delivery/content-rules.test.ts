import { expect, test } from 'vitest';
import type { MessageIndex } from '#server/mime/part.ts';
import { judgeContent } from './content-rules.ts';

const root = { headerStart: 0, bodyStart: 0, end: 0, type: 'text', subtype: 'plain', charset: null, encoding: '7bit' };
const clean: MessageIndex = {
  envelope: '()',
  bodystructure: '()',
  root: { ...root, children: [] },
  sentAt: null,
  receivedFields: 100,
  hasBareCr: false,
  hasBareLf: false,
  hasNul: false,
};

test.each<[string, Partial<MessageIndex>, unknown]>([
  ['a hundred Received fields are many but allowed (RFC 5321 section 6.3)', {}, { kind: 'accept' }],
  ['one more is a loop', { receivedFields: 101 }, { kind: 'refuse', reason: 'loop' }],
  ['a CR alone', { hasBareCr: true }, { kind: 'refuse', reason: 'bare-line-ending' }],
  ['an LF alone', { hasBareLf: true }, { kind: 'refuse', reason: 'bare-line-ending' }],
  ['a NUL', { hasNul: true }, { kind: 'refuse', reason: 'nul' }],
])('%s', (_, change, verdict) => {
  expect(judgeContent({ ...clean, ...change })).toEqual(verdict);
});
