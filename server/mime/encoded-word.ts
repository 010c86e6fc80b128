import { decodeCharset } from './charset.ts';

/** RFC 2047 section 2 "encoded-word"; blanks inside the text are wrong but common, and taken. */
const encodedWord = /=\?([^?\s]{1,75})\?([bq])\?([^?\r\n]*)\?=/gi;

type Run = { readonly charset: string; readonly bytes: Buffer[] };

/**
 * The text of an unfolded field value, a binary string, with its encoded words decoded (RFC 2047 section 6).
 * White space between two of them is dropped; what both say in one charset is decoded together, because some
 * senders cut characters in two. Bytes outside are UTF-8 where valid, else Latin-1. Never throws.
 */
export function decodeEncodedWords(value: string): string {
  let text = '';
  let run = null as Run | null;
  let end = 0;
  for (const match of value.matchAll(encodedWord)) {
    const [whole, charsetAndLanguage = '', encoding = '', encoded = ''] = match;
    // RFC 2231 section 5: a language may follow the charset.
    const charset = charsetAndLanguage.replace(/\*.*$/, '').toLowerCase();
    const between = value.slice(end, match.index);
    const joins: boolean = run !== null && /^[ \t]*$/.test(between);
    if (run === null || !joins || run.charset !== charset) {
      text += flush(run) + (joins ? '' : decodePlain(between));
      run = { charset, bytes: [] };
    }
    run.bytes.push(encoding.toLowerCase() === 'b' ? Buffer.from(encoded, 'base64') : decodeQ(encoded));
    end = match.index + whole.length;
  }
  return text + flush(run) + decodePlain(value.slice(end));
}

function flush(run: Run | null): string {
  return run === null ? '' : decodeCharset(Buffer.concat(run.bytes), run.charset);
}

function decodePlain(text: string): string {
  return /[\x80-\xff]/.test(text) ? decodeCharset(Buffer.from(text, 'latin1'), null) : text;
}

/** RFC 2047 section 4.2. */
function decodeQ(encoded: string): Buffer {
  const plain = encoded
    .replaceAll('_', ' ')
    .replaceAll(/=([0-9A-Fa-f]{2})/g, (_match, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(plain, 'latin1');
}
