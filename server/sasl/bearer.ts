/** The messages of OAUTHBEARER (RFC 7628) and of XOAUTH2, its predecessor that some clients still speak. Pure. */
import { Scanner, SyntaxFault } from '#shared/text/scanner.ts';
import { responseText } from './response.ts';

export type BearerCredentials = {
  /** Empty: the token alone says who it is. */
  readonly login: string;
  readonly token: string;
};

/** RFC 6750 section 2.1 "b64token". */
const bearer = /^bearer +([A-Za-z0-9\-._~+/]+=*) *$/i;
const pair = /^([A-Za-z]+)=(.*)$/s;

/**
 * RFC 7628 section 3.1: client-resp = (gs2-header kvsep *kvpair kvsep) / kvsep. The second form only ends an exchange
 * that failed and is refused here. "host" and "port" are read past: who we are is not the client's to say. Throws
 * SyntaxFault.
 */
export function readOauthBearer(response: Buffer): BearerCredentials {
  const text = responseText(response);
  const s = new Scanner(text);
  // RFC 7628 section 3.1: no channel binding here, so "n" and "y" alone.
  if (!s.take('n') && !s.take('y')) s.fail('gs2-cb-flag');
  s.expect(',', 'gs2-header');
  const authzid = s.take('a=') ? s.takeWhile((code) => code !== 0x2c && code !== 1) : '';
  s.expect(',\x01', 'gs2-header');
  if (/=(?!2C|3D)/.test(authzid)) throw new SyntaxFault('gs2-authzid', 0);
  const token = tokenOf(text.slice(s.offset));
  return { login: authzid.replaceAll('=2C', ',').replaceAll('=3D', '='), token };
}

/** "user=" name ^A "auth=Bearer " token ^A ^A, as Google and Microsoft document it. Throws SyntaxFault. */
export function readXoauth2(response: Buffer): BearerCredentials {
  const text = responseText(response);
  const [user = '', ...rest] = text.split('\x01');
  if (!user.startsWith('user=')) throw new SyntaxFault('user', 0);
  return { login: user.slice('user='.length), token: tokenOf(rest.join('\x01')) };
}

/** `pairs`: *kvpair kvsep. */
function tokenOf(pairs: string): string {
  if (!pairs.endsWith('\x01\x01')) throw new SyntaxFault('kvpair', 0);
  const values = new Map<string, string>();
  for (const each of pairs.slice(0, -2).split('\x01')) {
    const [, key, value] = pair.exec(each) ?? [];
    if (key === undefined || value === undefined || values.has(key)) throw new SyntaxFault('kvpair', 0);
    values.set(key, value);
  }
  const [, token] = bearer.exec(values.get('auth') ?? '') ?? [];
  if (token === undefined) throw new SyntaxFault('auth', 0);
  return token;
}

/**
 * What a client is told before it is refused (RFC 7628 section 3.2.2), as JSON; `configuration` is where it finds whom
 * to ask for another token, null where that is not known.
 */
export function formatBearerError(configuration: string | null): string {
  return JSON.stringify({
    status: 'invalid_token',
    ...(configuration !== null && { 'openid-configuration': configuration }),
  });
}
