/** The arguments of LOGIN, AUTHENTICATE (RFC 4959), ID (RFC 2971) and ENABLE (RFC 5161). */
import type { Scanner } from '#shared/text/scanner.ts';
import { astring, keyword, nstring, sp, string } from './astring.ts';
import { decodeUtf8 } from './charset.ts';
import type { ImapCommand } from './command.ts';

/** login = "LOGIN" SP userid SP password; both are taken for UTF-8, as clients send it. */
export function loginArguments(s: Scanner): ImapCommand {
  sp(s);
  const user = utf8(s, astring(s, 'userid'));
  sp(s);
  return { verb: 'LOGIN', user, password: utf8(s, astring(s, 'password')) };
}

function utf8(s: Scanner, bytes: string): string {
  return decodeUtf8(bytes) ?? s.fail('UTF-8 before this');
}

/** authenticate = "AUTHENTICATE" SP auth-type [SP (base64 / "=")]   (RFC 4959 section 6) */
export function authenticateArguments(s: Scanner): ImapCommand {
  sp(s);
  const mechanism = keyword(s, 'auth-type');
  const found = s.match(/ (=|(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)(?= *$)/y);
  if (!found && s.match(/ (?! *$)/y)) s.fail('base64');
  return { verb: 'AUTHENTICATE', mechanism, initialResponse: found?.[1] || null };
}

/** enable = "ENABLE" 1*(SP capability) */
export function enableArguments(s: Scanner): ImapCommand {
  sp(s);
  const capabilities: string[] = [];
  do capabilities.push(keyword(s, 'capability'));
  while (s.match(/ (?! *$)/y));
  return { verb: 'ENABLE', capabilities };
}

/**
 * id = "ID" SP id-params-list, which is "(" *(string SP nstring) ")" / nil. Field names are compared without
 * case (RFC 2971 section 3.3) and given in lower case; bytes that are not UTF-8 are read as latin1.
 */
export function idArguments(s: Scanner): ImapCommand {
  sp(s);
  if (s.takeWord('NIL')) return { verb: 'ID', fields: null };
  s.expect('(', 'id-params-list');
  const fields = new Map<string, string | null>();
  for (let first = true; !s.take(')'); first = false) {
    if (!first) sp(s);
    const name = string(s, 'id field');
    sp(s);
    const value = nstring(s);
    fields.set((decodeUtf8(name) ?? name).toLowerCase(), value === null ? null : (decodeUtf8(value) ?? value));
  }
  return { verb: 'ID', fields };
}
