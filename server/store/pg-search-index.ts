/** What the search index of an account knows of a query: which emails can't match. Exact for what it denies. */
import { sql, type Kysely } from 'kysely';
import type { AccountId } from '#shared/base/ids.ts';
import type { Database } from '#shared/db/schema.ts';
import type { SearchQuery } from '#server/mail/query.ts';
import { foldText } from '#server/mime/search-text.ts';
import { mayContain, type Pattern, type ReadSegment } from '#server/search/segment-lookup.ts';
import { Places } from '#server/search/segment.ts';
import { patternRows } from '#server/search/trigrams.ts';
import { int4Array } from './binary-array.ts';
import { FairTurns } from './fair-turns.ts';
import { keysOf, type ContentKey } from './match-query.ts';

/**
 * To be raised with every change of what is indexed or how: of `foldText`, `headerText` or `bodyText`, of
 * server/search, and of Node's Unicode tables (pg-search-index.test.ts).
 */
export const indexVersion = 2;

/** Rows read of each segment for one query; what more its keys would need is left to the scan. */
const maxRows = 256;
const maxKeys = 64;

/** An email by its key: 1 where it may match. */
type Answers = { readonly places: Places; readonly may: ReadonlyMap<ContentKey, Uint8Array> };

/** Null: the account has none, or it is of no use for this query. */
export async function askIndex(
  db: Kysely<Database>,
  accountId: AccountId,
  query: SearchQuery,
  signal: AbortSignal,
): Promise<IndexAnswer | null> {
  const patterns = patternsOf(query);
  if (patterns.size === 0) return null;
  const rows = [...new Set([...patterns.values()].flatMap((pattern) => pattern.rows))];
  // One statement, so one moment: segments are joined, and mail moves from the tail into new ones.
  const { rows: read } = await sql<SegmentRow>`/*ask-index*/
    select t.indexed_to, s.first_email, s.width, s.places,
      (select string_agg(substring(s.bits from r.row * s.width + 1 for s.width), ''::bytea order by r.place)
        from unnest(${int4Array(rows)}::int4[]) with ordinality r (row, place)) as rows
    from search_state t left join search_segment s on s.account_id = t.account_id
    where t.account_id = ${accountId} and t.version = ${indexVersion}
    order by s.first_email`.execute(db);
  if (!read[0]) return null;
  const segments: Answers[] = [];
  const turns = new FairTurns();
  for (const row of read) {
    if (row.first_email === null) continue;
    segments.push(await answersOf(row, rows, patterns, () => turns.pause(signal)));
  }
  return new IndexAnswer(Number(read[0].indexed_to), segments);
}

type SegmentRow = { readonly indexed_to: bigint } & (
  | { readonly first_email: null }
  | { readonly first_email: bigint; readonly width: number; readonly places: Buffer; readonly rows: Buffer }
);

export class IndexAnswer {
  /** Emails with a higher id are not indexed. */
  readonly indexedTo: number;
  readonly #segments: readonly Answers[];

  constructor(indexedTo: number, segments: readonly Answers[]) {
    this.indexedTo = indexedTo;
    this.#segments = segments;
  }

  /** Can the key match the email? */
  mayContain(key: ContentKey, emailId: number): boolean {
    if (emailId > this.indexedTo) return true;
    const segment = this.#segmentOf(emailId);
    const place = segment?.places.placeOf(emailId) ?? -1;
    return place === -1 || segment?.may.get(key)?.[place] !== 0;
  }

  /** The indexed emails that the query can match, whatever else it asks for, ascending; null: more than `limit`. */
  async candidates(query: SearchQuery, limit: number, signal: AbortSignal): Promise<readonly number[] | null> {
    const found: number[] = [];
    const turns = new FairTurns();
    for (const { places, may } of this.#segments) {
      await turns.pause(signal);
      const can = possible(query, places.count, may);
      for (let place = can.indexOf(1); place !== -1; place = can.indexOf(1, place + 1)) {
        if (found.length >= limit) return null;
        found.push(places.emailAt(place));
      }
    }
    return found;
  }

  /** The last one that begins at or before it. */
  #segmentOf(emailId: number): Answers | undefined {
    let low = 0;
    let high = this.#segments.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#segments[middle] as Answers).places.firstEmail <= emailId) low = middle + 1;
      else high = middle;
    }
    return this.#segments[low - 1];
  }
}

async function answersOf(
  row: Extract<SegmentRow, { readonly width: number }>,
  rows: readonly number[],
  patterns: ReadonlyMap<ContentKey, Pattern>,
  pause: () => Promise<void>,
): Promise<Answers> {
  const { width } = row;
  const places = new Places({ firstEmail: Number(row.first_email), places: row.places });
  const segment: ReadSegment = {
    places,
    width,
    row: (number) => {
      const at = rows.indexOf(number) * width;
      return row.rows.subarray(at, at + width);
    },
  };
  const may = new Map<ContentKey, Uint8Array>();
  for (const [key, pattern] of patterns) {
    await pause();
    may.set(key, mayContain(segment, pattern));
  }
  return { places, may };
}

/** By key; those that are not there may match anything. */
function patternsOf(query: SearchQuery): ReadonlyMap<ContentKey, Pattern> {
  const patterns = new Map<ContentKey, Pattern>();
  let rows = 0;
  const keys = keysOf(query);
  // Each takes time for every message, and nobody asks for so many.
  if (keys.length > maxKeys) return patterns;
  for (const key of keys) {
    if (!('contains' in key)) continue;
    const pattern = patternOf(key);
    rows += pattern?.rows.length ?? 0;
    if (rows > maxRows) break;
    if (pattern) patterns.set(key, pattern);
  }
  return patterns;
}

/** Null: what matches the key may be anything. */
function patternOf(key: ContentKey): Pattern | null {
  const contains = patternRows(foldText(key.contains));
  if (contains !== null) return { rows: contains, lies: key.kind };
  if (key.kind !== 'header') return null;
  // The header's text has the names too, as they were written.
  const name = /^[\x21-\x7e]*$/.test(key.name) ? patternRows(key.name.toLowerCase()) : null;
  return name && { rows: name, lies: 'header' };
}

/** For each email: 0 where the query can't match, whatever the keys say that the index knows nothing of. */
function possible(query: SearchQuery, count: number, may: Answers['may']): Uint8Array {
  switch (query.kind) {
    case 'and':
      return query.of.map((of) => possible(of, count, may)).reduce(both, ones(count));
    case 'or':
      return query.of.map((of) => possible(of, count, may)).reduce(either, new Uint8Array(count));
    case 'header':
    case 'body':
    case 'text':
      return may.get(query) ?? ones(count);
    default:
      // The index never says that a key does match, so it knows nothing of what is not.
      return ones(count);
  }
}

function ones(count: number): Uint8Array {
  return new Uint8Array(count).fill(1);
}

function both(one: Uint8Array, other: Uint8Array): Uint8Array {
  return one.map((value, at) => value & (other[at] as number));
}

function either(one: Uint8Array, other: Uint8Array): Uint8Array {
  return one.map((value, at) => value | (other[at] as number));
}
