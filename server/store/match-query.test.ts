import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { MessageContent } from '#server/mail/ports.ts';
import type { SearchQuery } from '#server/mail/query.ts';
import { uidSet } from '#server/mail/uid-set.ts';
import type { Part } from '#server/mime/part.ts';
import { unreachable } from '#shared/base/unreachable.ts';
import { matchMessage } from './match-content.ts';
import { matchKnown, searchNeeds, type KnownMessage } from './match-query.ts';

const day = fc.constantFrom('2024-03-09', '2024-03-10', '2024-03-11');
const is = fc.constantFrom('before', 'on', 'since');
const word = fc.constantFrom('', 'apple', 'PEAR', 'fig', 'a fig', 'plum');

const key: fc.Arbitrary<SearchQuery> = fc.oneof<fc.Arbitrary<SearchQuery>[]>(
  fc.constant({ kind: 'all' }),
  fc.record({
    kind: fc.constant('uids'),
    uids: fc.tuple(fc.nat(5), fc.nat(5)).map(([a, b]) => uidSet([[a + 1, b + 1]])),
  }),
  fc.record({ kind: fc.constant('flags'), flags: fc.nat(31) }),
  fc.record({ kind: fc.constant('keyword'), keyword: word }),
  fc.record({ kind: fc.constantFrom('larger', 'smaller'), bytes: fc.nat(200) }),
  fc.record({ kind: fc.constantFrom('internal-date', 'sent-date'), is, day }),
  fc.record({ kind: fc.constant('header'), name: fc.constantFrom('Subject', 'X-None'), contains: word }),
  fc.record({ kind: fc.constantFrom('body', 'text'), contains: word }),
);

const query = fc.letrec<{ query: SearchQuery }>((tie) => ({
  query: fc.oneof(
    { depthSize: 'small' },
    key,
    fc.record({ kind: fc.constantFrom('and', 'or'), of: fc.array(tie('query'), { maxLength: 4 }) }),
    fc.record({ kind: fc.constant('not'), of: tie('query') }),
  ),
})).query;

type Sample = Required<Omit<KnownMessage, 'hasKeyword' | 'mayContain'>> & {
  readonly keywords: readonly string[];
  readonly subject: string;
  readonly body: string;
};

const sample: fc.Arbitrary<Sample> = fc.record({
  uid: fc.integer({ min: 1, max: 6 }),
  flags: fc.nat(31),
  keywords: fc.subarray(['apple', 'fig']),
  size: fc.nat(200),
  internalDate: day.map((day) => new Date(`${day}T23:59:59Z`)),
  sentDay: fc.option(day),
  subject: fc.constantFrom('Apple pie', 'nothing'),
  body: fc.constantFrom('a pear\r\nand a fig', 'A\r\nFIG', ''),
});

function knownOf({
  keywords,
  subject: _subject,
  body: _body,
  ...columns
}: Sample): Required<Omit<KnownMessage, 'mayContain'>> {
  return { ...columns, hasKeyword: (keyword) => keywords.includes(keyword) };
}

/** What SEARCH means, written once more in the plainest way. */
function plainly(query: SearchQuery, sample: Sample): boolean {
  const has = (text: string, contains: string) => text.toLowerCase().includes(contains.toLowerCase());
  const compare = (mine: string, how: 'before' | 'on' | 'since', other: string) =>
    how === 'before' ? mine < other : how === 'on' ? mine === other : mine >= other;
  switch (query.kind) {
    case 'all':
      return true;
    case 'and':
      return query.of.every((q) => plainly(q, sample));
    case 'or':
      return query.of.some((q) => plainly(q, sample));
    case 'not':
      return !plainly(query.of, sample);
    case 'uids':
      return query.uids.some(([first, last]) => first <= sample.uid && sample.uid <= last);
    case 'flags':
      return (query.flags & ~sample.flags) === 0;
    case 'keyword':
      return sample.keywords.includes(query.keyword);
    case 'larger':
      return sample.size > query.bytes;
    case 'smaller':
      return sample.size < query.bytes;
    case 'internal-date':
      return compare(sample.internalDate.toISOString().slice(0, 10), query.is, query.day);
    case 'sent-date':
      return sample.sentDay !== null && compare(sample.sentDay, query.is, query.day);
    case 'header':
      return query.name === 'Subject' && has(sample.subject, query.contains);
    case 'body':
      return has(sample.body, query.contains);
    case 'text':
      return has(sample.body, query.contains) || has(`Subject: ${sample.subject}`, query.contains);
    default:
      return unreachable(query);
  }
}

/** A message whose reads are counted. */
class CountedContent implements MessageContent {
  readonly prefix = Buffer.alloc(0);
  readonly rawSize: number;
  readonly root: Part;
  readonly reads: (readonly [start: number, end: number])[] = [];
  readonly #raw: Buffer;
  readonly #chunkBytes: number;

  constructor(subject: string, body: string, chunkBytes = 256 * 1024) {
    const header = `Subject: ${subject}\r\n\r\n`;
    this.#raw = Buffer.from(header + body);
    this.#chunkBytes = chunkBytes;
    this.rawSize = this.#raw.length;
    this.root = {
      headerStart: 0,
      bodyStart: header.length,
      end: this.rawSize,
      type: 'text',
      subtype: 'plain',
      charset: 'utf-8',
      encoding: '8bit',
      children: [],
    };
  }

  async *read(start: number, end: number): AsyncGenerator<Buffer, void, void> {
    this.reads.push([start, end]);
    for (let at = start; at < end; at += this.#chunkBytes) {
      yield this.#raw.subarray(at, Math.min(end, at + this.#chunkBytes));
    }
  }
}

const { signal } = new AbortController();

function match(query: SearchQuery, content: MessageContent): Promise<boolean> {
  return matchMessage(query, { uid: 1, flags: 0, hasKeyword: () => false }, () => Promise.resolve(content), signal);
}

describe('with everything at hand', () => {
  test('decides as a plain reading of the query does', async () => {
    await fc.assert(
      fc.asyncProperty(query, sample, async (query, sample) => {
        const content = new CountedContent(sample.subject, sample.body);
        const decided = await matchMessage(query, knownOf(sample), () => Promise.resolve(content), signal);
        expect(decided).toBe(plainly(query, sample));
      }),
      { numRuns: 500 },
    );
  });
});

describe('with some of it', () => {
  test('a verdict holds whatever the rest turns out to be', () => {
    const parts = ['flags', 'hasKeyword', 'size', 'internalDate', 'sentDay'] as const;
    fc.assert(
      fc.property(query, sample, fc.subarray([...parts]), (query, sample, loaded) => {
        const whole = knownOf(sample);
        const known = Object.fromEntries(loaded.map((part) => [part, whole[part]]));
        const verdict = matchKnown(query, { uid: whole.uid, ...known });
        if (verdict !== 'unknown') expect(verdict).toBe(plainly(query, sample) ? 'yes' : 'no');
      }),
      { numRuns: 1000 },
    );
  });

  test('nothing is left open once all that the query needs is known', () => {
    fc.assert(
      fc.property(query, sample, (query, sample) => {
        const needs = searchNeeds(query);
        const { uid, flags, hasKeyword, size, internalDate, sentDay } = knownOf(sample);
        const verdict = matchKnown(query, {
          uid,
          flags,
          hasKeyword,
          ...(needs.size && { size }),
          ...(needs.internalDate && { internalDate }),
          ...(needs.sentDay && { sentDay }),
        });
        if (!needs.content) expect(verdict).not.toBe('unknown');
      }),
    );
  });
});

describe('reading', () => {
  const body = (contains: string): SearchQuery => ({ kind: 'body', contains });
  const text = (contains: string): SearchQuery => ({ kind: 'text', contains });
  const long = `first ${'x'.repeat(300_000)}\r\nmiddle\r\n${'y\r\n'.repeat(100_000)}last`;

  test('several texts take one pass over the body', async () => {
    const content = new CountedContent('s', long, 50_000);
    const query: SearchQuery = { kind: 'and', of: [body('first'), text('MIDDLE'), body('last'), text('y\r\ny')] };
    expect(await match(query, content)).toBe(true);
    expect(content.reads).toEqual([
      [0, content.root.bodyStart],
      [content.root.bodyStart, content.rawSize],
    ]);
  });

  test('the body is left alone when the header decides', async () => {
    const content = new CountedContent('hello', long);
    const header = (contains: string): SearchQuery => ({ kind: 'header', name: 'subject', contains });
    expect(await match({ kind: 'and', of: [body('first'), header('none')] }, content)).toBe(false);
    expect(await match({ kind: 'or', of: [body('none'), text('HELLO')] }, content)).toBe(true);
    expect(content.reads.every(([, end]) => end <= content.root.bodyStart)).toBe(true);
  });

  test('nothing is read when the columns decide', async () => {
    const content = new CountedContent('s', long);
    expect(await match({ kind: 'and', of: [{ kind: 'flags', flags: 1 }, body('first')] }, content)).toBe(false);
    expect(content.reads).toEqual([]);
  });

  test('a text is found wherever chunks are cut', async () => {
    const content = (chunk: number) => new CountedContent('s', 'Zwölf Boxkämpfer jagen Viktor', chunk);
    for (let chunk = 1; chunk < 34; chunk++) {
      expect(await match(body('BOXKÄMPFER JAGEN'), content(chunk))).toBe(true);
      expect(await match(body('jagen viktor!'), content(chunk))).toBe(false);
    }
  });

  test('ends when the signal aborts in the middle', async () => {
    const abort = new AbortController();
    const content = new CountedContent('s', long, 1000);
    const reads = content.read.bind(content);
    content.read = async function* (start: number, end: number) {
      for await (const chunk of reads(start, end)) {
        if (start > 0) abort.abort(new Error('enough'));
        yield chunk;
      }
    };
    const known = { uid: 1, flags: 0, hasKeyword: () => false };
    const search = matchMessage(body('nowhere'), known, () => Promise.resolve(content), abort.signal);
    await expect(search).rejects.toThrow('enough');
  });
});
