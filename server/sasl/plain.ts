import { SyntaxFault } from '#shared/text/scanner.ts';
import { decodeResponse, responseText } from './response.ts';

/** Who a client says it is. */
export type PasswordCredentials = { readonly login: string; readonly password: string };

/** Bytes of a decoded message; RFC 4616 section 2 allows 255 characters of four bytes in each of its fields. */
const maxMessageBytes = 3 * 1020 + 2;

/** As `readPlain`, for a response in base64. */
export function decodePlain(line: string): PasswordCredentials {
  return readPlain(decodeResponse(line, maxMessageBytes));
}

/**
 * RFC 4616 section 2: message = [authzid] NUL authcid NUL passwd. An authorisation identity is accepted where it is
 * the authentication identity itself: nobody acts for another here. An empty password, which the grammar doesn't have,
 * is passed on: it is nobody's, but in development mode any will do. Throws SyntaxFault.
 */
export function readPlain(response: Buffer): PasswordCredentials {
  if (response.length > maxMessageBytes) throw new SyntaxFault('message', maxMessageBytes);
  const [authzid, login, password, ...rest] = responseText(response).split('\0');
  if (authzid === undefined || login === undefined || password === undefined || rest.length > 0) {
    throw new SyntaxFault('message', 0);
  }
  if (login === '') throw new SyntaxFault('authcid', authzid.length + 1);
  if (authzid !== '' && authzid.toLowerCase() !== login.toLowerCase()) throw new SyntaxFault('authzid', 0);
  return { login, password };
}
