import type { Reply } from './smtp-reply.ts';

/** What a server offers (RFC 5321 section 4.1.1.1): keywords in capitals with their parameters. */
export type Extensions = ReadonlyMap<string, string>;

const keyword = /^([a-z0-9][a-z0-9-]*)(?:[ =](.*))?$/i;

/** Of the reply to EHLO or LHLO; the first line is the greeting. */
export function parseExtensions({ lines }: Reply): Extensions {
  const found = new Map<string, string>();
  for (const line of lines.slice(1)) {
    const match = keyword.exec(line.trim());
    // "AUTH=PLAIN" beside "AUTH PLAIN" is an old habit; the first one stays.
    const name = match?.[1]?.toUpperCase();
    if (name !== undefined && !found.has(name)) found.set(name, match?.[2]?.trim() ?? '');
  }
  return found;
}

/** RFC 1870 section 4; null: no bound is given. */
export function maxSize(extensions: Extensions): number | null {
  const size = Number(extensions.get('SIZE') ?? '');
  return Number.isSafeInteger(size) && size > 0 ? size : null;
}
