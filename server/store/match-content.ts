import type { MessageContent } from '#server/mail/ports.ts';
import type { SearchQuery } from '#server/mail/query.ts';
import { bodyText, fieldTexts, foldText, headerText } from '#server/mime/search-text.ts';
import { FairTurns } from './fair-turns.ts';
import {
  evaluate,
  keysOf,
  matchKey,
  matchKnown,
  type ContentKey,
  type KnownMessage,
  type SearchKey,
  type Verdict,
} from './match-query.ts';

/**
 * Decides in any case. `known` must hold all that `searchNeeds` names; `content` is asked for only where that
 * leaves the matter open, and then the header is read, and at most one pass made over the body for all texts
 * together. Rejects with the signal's reason when it aborts.
 */
export async function matchMessage(
  query: SearchQuery,
  known: KnownMessage,
  content: () => Promise<MessageContent>,
  signal: AbortSignal,
): Promise<boolean> {
  const verdict = matchKnown(query, known);
  if (verdict !== 'unknown') return verdict === 'yes';
  return new ContentMatch(query, known).decide(await content(), signal);
}

/** One message while its content is looked at: what is known of it so far, key by key. */
class ContentMatch {
  readonly #query: SearchQuery;
  readonly #known: KnownMessage;
  readonly #keys: readonly ContentKey[];
  readonly #answers = new Map<SearchKey, boolean>();

  constructor(query: SearchQuery, known: KnownMessage) {
    this.#query = query;
    this.#known = known;
    this.#keys = keysOf(query).filter((key): key is ContentKey => 'contains' in key);
  }

  async decide(content: MessageContent, signal: AbortSignal): Promise<boolean> {
    signal.throwIfAborted();
    await this.#lookAtHeader(content, signal);
    let verdict = this.#verdict();
    if (verdict !== 'unknown') return verdict === 'yes';

    const open = this.#keys.filter((key) => !this.#answers.has(key));
    const turns = new FairTurns();
    const search = new TextSearch(open.map(({ contains }) => foldText(contains)));
    for await (const piece of bodyText(content.root, (start, end) => content.read(start, end))) {
      await turns.pause(signal);
      const found = search.push(foldText(piece));
      if (found.size === 0) continue;
      for (const key of open) if (found.has(foldText(key.contains))) this.#answers.set(key, true);
      verdict = this.#verdict();
      if (verdict !== 'unknown') return verdict === 'yes';
    }
    for (const key of open) if (!this.#answers.has(key)) this.#answers.set(key, false);
    return this.#verdict() === 'yes';
  }

  /** Answers the header keys, and with yes those text keys that are found already. */
  async #lookAtHeader(content: MessageContent, signal: AbortSignal): Promise<void> {
    const chunks = [content.prefix];
    for await (const chunk of content.read(0, content.root.bodyStart)) chunks.push(chunk);
    const header = Buffer.concat(chunks).toString('latin1');
    const inHeader = this.#keys.some(({ kind }) => kind === 'text') ? foldText(headerText(header)) : '';
    const turns = new FairTurns();
    for (const key of this.#keys) {
      await turns.pause(signal);
      const needle = foldText(key.contains);
      if (key.kind === 'header') {
        const texts = fieldTexts(header, key.name);
        this.#answers.set(
          key,
          texts.some((text) => foldText(text).includes(needle)),
        );
      } else if (needle === '' || (key.kind === 'text' && inHeader.includes(needle))) this.#answers.set(key, true);
    }
  }

  #verdict(): Verdict {
    return evaluate(this.#query, (key) => {
      const answer = this.#answers.get(key);
      return answer === undefined ? matchKey(key, this.#known) : answer ? 'yes' : 'no';
    });
  }
}

/** Looks for several needles in a text that comes in pieces; holds back no more than the longest needle. */
class TextSearch {
  readonly #wanted: Set<string>;
  readonly #overlap: number;
  #tail = '';

  constructor(needles: readonly string[]) {
    this.#wanted = new Set(needles);
    this.#overlap = Math.max(0, ...needles.map(({ length }) => length - 1));
  }

  /** Those found in this piece or across its border with the one before, each once. */
  push(piece: string): ReadonlySet<string> {
    const text = this.#tail + piece;
    const found = new Set<string>();
    for (const needle of this.#wanted) {
      if (!text.includes(needle)) continue;
      found.add(needle);
      this.#wanted.delete(needle);
    }
    this.#tail = this.#overlap === 0 ? '' : text.slice(-this.#overlap);
    return found;
  }
}
