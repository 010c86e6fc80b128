import { TextDecoder } from 'node:util';
import { SyntaxFault, type Scanner } from '#shared/text/scanner.ts';

/** A CHARSET that can't be decoded: RFC 3501 section 6.4.4 wants NO [BADCHARSET], not BAD. */
export class CharsetFault extends SyntaxFault {
  override readonly name = 'CharsetFault';
}

/** Turns bytes (as a latin1 view) into text; null where they are not of the charset. */
export type Decode = (bytes: string) => string | null;

/** UTF-8, and so US-ASCII too. A byte order mark is text here: nothing may vanish from a password. */
export const decodeUtf8: Decode = decodeWith(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }));

function decodeWith(decoder: TextDecoder): Decode {
  return (bytes) => {
    try {
      const text = decoder.decode(Buffer.from(bytes, 'latin1'));
      // RFC 3501 section 9 "CHAR8" has no NUL, but UTF-16 may spell one; the database can't hold it.
      return text.includes('\0') ? null : text;
    } catch {
      // The decoder is fatal: the bytes are not of its charset.
      return null;
    }
  };
}

/**
 * The decoder of an IANA name. US-ASCII is read as UTF-8, which it is part of: clients name it, or nothing,
 * and send UTF-8. Every other one that the platform has will do.
 */
export function charsetDecoder(s: Scanner, name: string): Decode {
  const label = name.toLowerCase();
  if (label === 'us-ascii' || label === 'utf-8') return decodeUtf8;
  try {
    return decodeWith(new TextDecoder(label, { fatal: true }));
  } catch {
    // A RangeError: the label is unknown.
    throw new CharsetFault('a charset that can be decoded', s.offset);
  }
}
