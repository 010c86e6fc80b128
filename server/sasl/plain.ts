import { SyntaxFault } from '#shared/text/scanner.ts';

/** Who a client says it is. */
export type PasswordCredentials = { readonly login: string; readonly password: string };

/** Bytes of a decoded message; RFC 4616 section 2 allows 255 characters of four bytes in each of its fields. */
const maxMessageBytes = 3 * 1020 + 2;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/**
 * RFC 4616 section 2: message = [authzid] NUL authcid NUL passwd, as base64 (RFC 4954 section 4, RFC 3501 section
 * 6.2.2). An authorisation identity is accepted where it is the authentication identity itself: nobody acts for
 * another here. An empty password, which the grammar doesn't have, is passed on: it is nobody's, but in development mode
 * any will do. Throws SyntaxFault.
 */
export function decodePlain(line: string): PasswordCredentials {
  const message = decodeUtf8(decodeBase64(line));
  const [authzid, login, password, ...rest] = message.split('\0');
  if (authzid === undefined || login === undefined || password === undefined || rest.length > 0) {
    throw new SyntaxFault('message', 0);
  }
  if (login === '') throw new SyntaxFault('authcid', authzid.length + 1);
  if (authzid !== '' && authzid.toLowerCase() !== login.toLowerCase()) throw new SyntaxFault('authzid', 0);
  return { login, password };
}

/** RFC 4648 section 4, without line breaks; RFC 4954 section 4 refuses anything else. "=" alone is the empty string. */
function decodeBase64(line: string): Buffer {
  if (line === '=') return Buffer.alloc(0);
  if (line.length > Math.ceil(maxMessageBytes / 3) * 4 || !base64.test(line)) throw new SyntaxFault('base64', 0);
  return Buffer.from(line, 'base64');
}

function decodeUtf8(bytes: Buffer): string {
  try {
    return utf8.decode(bytes);
  } catch {
    // The decoder says only that it isn't UTF-8.
    throw new SyntaxFault('message', 0);
  }
}
