/**
 * A mailbox's keyword table: `Mailbox.keywords`, in which the place of a keyword is its bit in the pages.
 * It only grows, so bits in old pages keep their meaning. Keywords are compared without ASCII case
 * (RFC 3501 section 2.3.2, RFC 9051 section 2.3.2) and shown as they were first written.
 */
import { maxKeywordBytes, maxKeywords } from '#shared/base/limits.ts';
import { MailError } from './mail-error.ts';

/** The keyword's bit; -1: the mailbox doesn't have it. */
export function keywordBit(table: readonly string[], keyword: string): number {
  const wanted = asciiLowerCase(keyword);
  return table.findIndex((known) => known.length === wanted.length && asciiLowerCase(known) === wanted);
}

/** Bits of those keywords that the table has, each once: enough to remove or to look for them. */
export function knownKeywordBits(table: readonly string[], keywords: readonly string[]): readonly number[] {
  return [...new Set(keywords.map((keyword) => keywordBit(table, keyword)))].filter((bit) => bit !== -1);
}

/**
 * The table with the keywords in it (the same one where it had them all) and their bits, each once.
 * MailError limit: more than `maxKeywords`, or one longer than `maxKeywordBytes`.
 */
export function withKeywords(
  table: readonly string[],
  keywords: readonly string[],
): { readonly table: readonly string[]; readonly bits: readonly number[] } {
  const bits = new Set<number>();
  let grown: string[] | null = null;
  for (const keyword of keywords) {
    let bit = keywordBit(grown ?? table, keyword);
    if (bit === -1) {
      if (Buffer.byteLength(keyword) > maxKeywordBytes) {
        throw new MailError({ kind: 'limit', reason: `a keyword has at most ${maxKeywordBytes} bytes` });
      }
      grown ??= [...table];
      bit = grown.push(keyword) - 1;
    }
    bits.add(bit);
  }
  if (grown && grown.length > maxKeywords) {
    throw new MailError({ kind: 'limit', reason: `a mailbox has at most ${maxKeywords} keywords` });
  }
  return { table: grown ?? table, bits: [...bits] };
}

export function keywordNames(table: readonly string[], bits: readonly number[]): readonly string[] {
  return bits.map((bit) => {
    const name = table[bit];
    if (name === undefined) throw new Error(`keyword bit ${bit} is not in the mailbox's table`);
    return name;
  });
}

function asciiLowerCase(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
