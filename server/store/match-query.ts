/**
 * Does a message match a SearchQuery? In steps, so that a store loads no more than it must: first with what
 * its pages hold, then with its columns, and only where these leave it open with the message's bytes
 * (match-content.ts).
 */
import type { FlagBits } from '#server/mail/flags.ts';
import type { SearchQuery } from '#server/mail/query.ts';
import { uidSetHas } from '#server/mail/uid-set.ts';
import { unreachable } from '#shared/base/unreachable.ts';

export type Verdict = 'yes' | 'no' | 'unknown';

/** What is loaded of a message so far. */
export type KnownMessage = {
  readonly uid: number;
  readonly flags?: FlagBits;
  /** Without ASCII case. */
  readonly hasKeyword?: (keyword: string) => boolean;
  /** RFC822.SIZE, with the trace prefix. */
  readonly size?: number;
  readonly internalDate?: Date;
  /** YYYY-MM-DD as the Date field says; null: it has none that can be read, and no SENT… key finds it. */
  readonly sentDay?: string | null;
  /** False: the search index knows that the key doesn't match. True decides nothing. */
  readonly mayContain?: (key: ContentKey) => boolean;
};

/** A key that holds no other. */
export type SearchKey = Exclude<SearchQuery, { readonly kind: 'and' | 'or' | 'not' }>;

/** A key that is decided by the message's bytes. */
export type ContentKey = Extract<SearchKey, { readonly contains: string }>;

/** Which of the message's pages and columns the query looks at, and whether it may need the message's bytes. */
export type SearchNeeds = {
  readonly flags: boolean;
  readonly size: boolean;
  readonly internalDate: boolean;
  readonly sentDay: boolean;
  readonly content: boolean;
};

export function searchNeeds(query: SearchQuery): SearchNeeds {
  const kinds = new Set(keysOf(query).map(({ kind }) => kind));
  return {
    flags: kinds.has('flags') || kinds.has('keyword'),
    size: kinds.has('larger') || kinds.has('smaller'),
    internalDate: kinds.has('internal-date'),
    sentDay: kinds.has('sent-date'),
    content: kinds.has('header') || kinds.has('body') || kinds.has('text'),
  };
}

/** Decides with what is known; `unknown` where that is not enough. */
export function matchKnown(query: SearchQuery, known: KnownMessage): Verdict {
  return evaluate(query, (key) => matchKey(key, known));
}

/** Kleene's logic: an unknown key matters only where the others don't decide. */
export function evaluate(query: SearchQuery, answer: (key: SearchKey) => Verdict): Verdict {
  switch (query.kind) {
    case 'and':
      return firstOf(query.of, 'no', 'yes', answer);
    case 'or':
      return firstOf(query.of, 'yes', 'no', answer);
    case 'not': {
      const verdict = evaluate(query.of, answer);
      return verdict === 'unknown' ? 'unknown' : verdict === 'yes' ? 'no' : 'yes';
    }
    default:
      return answer(query);
  }
}

export function keysOf(query: SearchQuery): readonly SearchKey[] {
  switch (query.kind) {
    case 'and':
    case 'or':
      return query.of.flatMap(keysOf);
    case 'not':
      return keysOf(query.of);
    default:
      return [query];
  }
}

function firstOf(
  queries: readonly SearchQuery[],
  decisive: Verdict,
  otherwise: Verdict,
  answer: (key: SearchKey) => Verdict,
): Verdict {
  let result = otherwise;
  for (const query of queries) {
    const verdict = evaluate(query, answer);
    if (verdict === decisive) return decisive;
    if (verdict === 'unknown') result = 'unknown';
  }
  return result;
}

/** Answers what the columns can. */
export function matchKey(key: SearchKey, known: KnownMessage): Verdict {
  switch (key.kind) {
    case 'all':
      return 'yes';
    case 'uids':
      return verdictOf(uidSetHas(key.uids, known.uid));
    case 'flags':
      return known.flags === undefined ? 'unknown' : verdictOf((known.flags & key.flags) === key.flags);
    case 'keyword':
      return known.hasKeyword === undefined ? 'unknown' : verdictOf(known.hasKeyword(key.keyword));
    case 'larger':
      return known.size === undefined ? 'unknown' : verdictOf(known.size > key.bytes);
    case 'smaller':
      return known.size === undefined ? 'unknown' : verdictOf(known.size < key.bytes);
    case 'internal-date':
      return known.internalDate === undefined ? 'unknown' : verdictOf(matchDay(dayOf(known.internalDate), key));
    case 'sent-date':
      if (known.sentDay === undefined) return 'unknown';
      return verdictOf(known.sentDay !== null && matchDay(known.sentDay, key));
    case 'header':
    case 'body':
    case 'text':
      return byIndex(key, known);
    default:
      return unreachable(key);
  }
}

function byIndex(key: ContentKey, { mayContain }: KnownMessage): Verdict {
  return mayContain?.(key) === false ? 'no' : 'unknown';
}

function verdictOf(matches: boolean): Verdict {
  return matches ? 'yes' : 'no';
}

/** In UTC. */
function dayOf(date: Date): string {
  return date.toISOString().slice(0, 10);
}

/** Days are four-digit years in big-endian order, so they compare as text. */
function matchDay(day: string, { is, day: asked }: { readonly is: 'before' | 'on' | 'since'; readonly day: string }) {
  return is === 'before' ? day < asked : is === 'on' ? day === asked : day >= asked;
}
