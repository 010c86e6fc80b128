import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { maxSharedPrefix, SegmentBuilder, type SharedColumns } from './segment-builder.ts';
import { mayContain, type Pattern } from './segment-lookup.ts';
import { joinSegments, maxColumnsPerEmail, Places, type Segment } from './segment.ts';
import { columnBytes, TextColumns } from './text-columns.ts';
import { maxPatternLength, patternRows, rowCount, rowOf } from './trigrams.ts';

type Text = { readonly header: string; readonly body: readonly string[] };

function segmentOf(texts: readonly Text[], firstEmail = 1): Segment {
  const builder = new SegmentBuilder();
  for (const [place, { header, body }] of texts.entries()) {
    builder.begin(firstEmail + place * 3, header);
    for (const piece of body) builder.add(piece);
    builder.end();
  }
  return builder.build();
}

/** As search-columns.ts makes them. */
function sharedColumns(header: string, body: readonly string[]): SharedColumns {
  const columns: Uint8Array[] = [];
  const next = (): Uint8Array => {
    columns.push(new Uint8Array(columnBytes));
    return columns.at(-1) as Uint8Array;
  };
  const made = new TextColumns();
  made.start(next);
  made.add(header);
  const headerColumns = columns.length;
  made.start(next);
  for (const piece of body) made.add(piece);
  return {
    start: header.slice(0, 2),
    header: columns.slice(0, headerColumns),
    body: columns.slice(headerColumns),
    isOpen: false,
  };
}

function ask(segment: Segment, pattern: string, lies: Pattern['lies']): readonly number[] | null {
  const rows = patternRows(pattern);
  if (rows === null) return null;
  const { width, bits } = segment;
  const read = {
    places: new Places(segment),
    width,
    row: (row: number) => bits.subarray(row * width, (row + 1) * width),
  };
  return [...mayContain(read, { rows, lies })];
}

/** Few letters, so that patterns are there and not there about as often, and some of other planes. */
const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c', ' ', '\r\n', 'ß', 'Σ', '漢', '😀'), maxLength: 60 });
const message = fc.record({ header: text, body: fc.array(text, { maxLength: 5 }) });
/** So many trigrams that it takes several columns. */
const long = fc.integer({ min: 1, max: 1000 }).map((seed) => {
  let all = '';
  for (let n = 0; all.length < 9000; n++) all += ((seed * 7919 + n * n * 104_729) % 1_000_003).toString(36);
  return all;
});

describe('what a message contains is never denied', () => {
  test('in its header, its body and both', () => {
    fc.assert(
      fc.property(fc.array(message, { minLength: 1, maxLength: 20 }), text, (messages, pattern) => {
        const segment = segmentOf(messages);
        const has = {
          header: ask(segment, pattern, 'header'),
          body: ask(segment, pattern, 'body'),
          text: ask(segment, pattern, 'text'),
        };
        for (const [place, { header, body }] of messages.entries()) {
          const inHeader = header.includes(pattern);
          const inBody = body.join('').includes(pattern);
          if (inHeader && has.header) expect(has.header[place]).toBe(1);
          if (inBody && has.body) expect(has.body[place]).toBe(1);
          if ((inHeader || inBody) && has.text) expect(has.text[place]).toBe(1);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('wherever a long text was cut into columns and pieces', () => {
    fc.assert(
      fc.property(long, fc.nat(200), fc.integer({ min: 3, max: 200 }), (all, from, length) => {
        const pieces = all.match(/.{1,777}/gs) ?? [];
        const segment = segmentOf([
          { header: 'none', body: [] },
          { header: all.slice(0, 40), body: pieces },
        ]);
        expect(new Places(segment).bodyColumnsAt(1)).toBeGreaterThan(4);
        for (let at = from; at + length <= all.length; at += 97) {
          expect(ask(segment, all.slice(at, at + length), 'body')?.[1]).toBe(1);
        }
      }),
      { numRuns: 30 },
    );
  });

  test('in columns that are made once, whatever stands before the header', () => {
    const beginning = fc.oneof(
      text,
      long.map((all) => all.slice(0, maxSharedPrefix)),
    );
    fc.assert(
      fc.property(
        beginning,
        fc.oneof(text, long),
        fc.array(text, { maxLength: 3 }),
        fc.nat(9000),
        (prefix, header, body, at) => {
          const builder = new SegmentBuilder();
          const shared = sharedColumns(header, body);
          builder.append(1, 'none', shared);
          builder.append(2, prefix, shared);
          builder.append(3, '', shared);
          const segment = builder.build();
          const whole = prefix + header;
          const from = at % Math.max(1, whole.length);
          // Anywhere, and across the border of the two.
          for (const start of [from, Math.max(0, prefix.length - 30), Math.max(0, prefix.length - 1)]) {
            for (const length of [3, 17, maxPatternLength]) {
              const has = ask(segment, whole.slice(start, start + length), 'header');
              if (has) expect(has[1]).toBe(1);
              const own = ask(segment, header.slice(start, start + length), 'header');
              if (own) expect(own).toEqual([1, 1, 1]);
            }
          }
          const inBody = ask(segment, body.join('').slice(from, from + 20), 'body');
          if (inBody) expect(inBody).toEqual([1, 1, 1]);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('in segments that were joined', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(message, { minLength: 1, maxLength: 9 }), { minLength: 1, maxLength: 5 }),
        text,
        (groups, pattern) => {
          const segments = groups.map((group, at) => segmentOf(group, 1000 * (at + 1)));
          const joined = joinSegments(segments);
          expect(ask(joined, pattern, 'text')).toEqual(
            patternRows(pattern) && segments.flatMap((segment) => ask(segment, pattern, 'text')),
          );
          const places = new Places(joined);
          for (const [at, group] of groups.entries()) {
            for (const place of group.keys()) {
              const emailId = 1000 * (at + 1) + place * 3;
              expect(places.emailAt(places.placeOf(emailId))).toBe(emailId);
              expect(places.placeOf(emailId + 1)).toBe(-1);
            }
          }
        },
      ),
    );
  });

  test('of a message longer than the index tells', () => {
    const builder = new SegmentBuilder();
    builder.begin(1, 'first');
    builder.end();
    builder.begin(2, 'second');
    for (let n = 0; !builder.isFull; n++) {
      builder.add(String.fromCharCode(...Array.from({ length: 500 }, (_, at) => (n * 7919 + at * 104_729) % 50_000)));
    }
    builder.add('much more');
    builder.end();
    builder.begin(3, 'third');
    builder.add('more');
    builder.end();
    const segment = builder.build();
    expect(segment.width * 8 - maxColumnsPerEmail).toBeLessThan(16);
    expect(ask(segment, 'much more', 'text')).toEqual([0, 1, 0]);
    expect(ask(segment, 'third', 'header')).toEqual([0, 1, 1]);
  });
});

test('most of what a message does not contain is denied', () => {
  const words = Array.from({ length: 600 }, (_, n) => `${((n * 7919) % 10_007).toString(36)}${n}`);
  const messages = Array.from({ length: 200 }, (_, n) => ({
    header: `subject: ${words[n]}`,
    body: [words.filter((_word, at) => (at * 31 + n) % 7 === 0).join(' ')],
  }));
  const segment = segmentOf(messages);
  const yes = words.map((word) => ask(segment, `subject: ${word}`, 'header')?.reduce((sum, may) => sum + may, 0) ?? 0);
  expect(yes.slice(0, 200).every((count) => count >= 1)).toBe(true);
  expect(yes.reduce((sum, count) => sum + count, 0)).toBeLessThan(400);
});

test('rows are used alike', () => {
  const used = new Uint32Array(rowCount);
  for (let a = 97; a < 123; a++) {
    for (let b = 97; b < 123; b++)
      for (let c = 97; c < 123; c++) used[rowOf(a, b, c)] = (used[rowOf(a, b, c)] ?? 0) + 1;
  }
  expect(used.filter((count) => count === 0).length).toBeLessThan(rowCount * 0.05);
  expect(Math.max(...used)).toBeLessThan(20);
});

test('a pattern has few rows, of its beginning, or none where it is too short', () => {
  const pattern = 'the quick brown fox jumps over the lazy dog and then over another one';
  expect(patternRows(pattern)?.length).toBeLessThanOrEqual(16);
  expect(patternRows(pattern)).toEqual(patternRows(pattern.slice(0, maxPatternLength)));
  expect(patternRows('abc')).toEqual([rowOf(97, 98, 99)]);
  expect(patternRows('ab')).toBeNull();
});
