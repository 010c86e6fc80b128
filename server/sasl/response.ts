import { SyntaxFault } from '#shared/text/scanner.ts';

/** Bytes of one decoded response of a client: an access token with its frame is the longest (RFC 7628 section 3.1). */
const maxResponseBytes = 12 * 1024;

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * A client's response as it stands on a line (RFC 4954 section 4, RFC 3501 section 6.2.2): base64 of RFC 4648 section 4
 * without line breaks. "=" alone is the empty response. Throws SyntaxFault.
 */
export function decodeResponse(line: string, maxBytes = maxResponseBytes): Buffer {
  if (line === '=') return Buffer.alloc(0);
  if (line.length > Math.ceil(maxBytes / 3) * 4 || !base64.test(line)) throw new SyntaxFault('base64', 0);
  return Buffer.from(line, 'base64');
}

/** Throws SyntaxFault where the bytes are no UTF-8. */
export function responseText(bytes: Buffer): string {
  try {
    return utf8.decode(bytes);
  } catch {
    // The decoder says only that it isn't UTF-8.
    throw new SyntaxFault('message', 0);
  }
}
