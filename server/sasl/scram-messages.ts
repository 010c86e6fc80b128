/** The messages of SCRAM, as RFC 5802 section 7 writes them. Pure. */
import { Scanner, SyntaxFault } from '#shared/text/scanner.ts';

/** "gs2-cbind-flag": whether the client binds the exchange to the connection. */
export type BindingFlag =
  /** "n": it can't, or does not want to. */
  | { readonly kind: 'none' }
  /** "y": it could, but was not offered it. Where it was, somebody took the offer away. */
  | { readonly kind: 'not-offered' }
  /** "p=": it does. */
  | { readonly kind: 'bound'; readonly type: string };

export type ClientFirst = {
  readonly binding: BindingFlag;
  /** Empty: none was given. */
  readonly authzid: string;
  readonly login: string;
  readonly nonce: string;
  /** "gs2-header", which the final message repeats. */
  readonly header: string;
  /** "client-first-message-bare", a part of what is signed. */
  readonly bare: string;
};

export type ClientFinal = {
  /** The decoded value of "c=". */
  readonly binding: Buffer;
  readonly nonce: string;
  readonly proof: Buffer;
  /** "client-final-message-without-proof", a part of what is signed. */
  readonly withoutProof: string;
};

const cbName = /[A-Za-z0-9.-]+/y;
/** "value-safe-char" and "=", of which `unescape` decides. */
const saslName = /[^,\0]+/y;
/** "printable": no comma. */
const printable = /[\x21-\x2b\x2d-\x7e]+/y;
const base64Text = /[A-Za-z0-9+/]*={0,2}/y;
/** Characters of a client's nonce: enough for any client, and a bound on what is sent back. */
const maxNonceLength = 256;

/** "client-first-message". Throws SyntaxFault. */
export function clientFirst(text: string): ClientFirst {
  const s = new Scanner(text);
  const binding = bindingFlag(s);
  s.expect(',', 'gs2-header');
  const authzid = s.take('a=') ? name(s, 'authzid') : '';
  s.expect(',', 'gs2-header');
  const header = text.slice(0, s.offset);
  // RFC 5802 section 5.1: "m=" is an extension that must be understood, and none is.
  if (s.startsWith('m=')) s.fail('client-first-message-bare');
  s.expect('n=', 'username');
  const login = name(s, 'username');
  s.expect(',r=', 'nonce');
  const nonce = s.match(printable)?.[0] ?? s.fail('nonce');
  if (nonce.length > maxNonceLength) s.fail('nonce');
  if (!s.done && !s.startsWith(',')) s.fail('extensions');
  return { binding, authzid, login, nonce, header, bare: text.slice(header.length) };
}

/** "client-final-message". Throws SyntaxFault. */
export function clientFinal(text: string): ClientFinal {
  const s = new Scanner(text);
  s.expect('c=', 'channel-binding');
  const binding = base64(s, 'channel-binding');
  s.expect(',r=', 'nonce');
  const nonce = s.match(printable)?.[0] ?? s.fail('nonce');
  const end = text.lastIndexOf(',p=');
  if (end < s.offset || (end > s.offset && !s.startsWith(','))) s.fail('proof');
  const last = new Scanner(text.slice(end + 3));
  const proof = base64(last, 'proof');
  if (!last.done || proof.length === 0) throw new SyntaxFault('proof', end);
  return { binding, nonce, proof, withoutProof: text.slice(0, end) };
}

/** "server-first-message". */
export function formatServerFirst(nonce: string, salt: Buffer, iterations: number): string {
  return `r=${nonce},s=${salt.toString('base64')},i=${iterations}`;
}

function bindingFlag(s: Scanner): BindingFlag {
  if (s.take('n')) return { kind: 'none' };
  if (s.take('y')) return { kind: 'not-offered' };
  s.expect('p=', 'gs2-cbind-flag');
  return { kind: 'bound', type: s.match(cbName)?.[0] ?? s.fail('cb-name') };
}

/** "saslname": "=2C" stands for a comma, "=3D" for "=", and no other "=" may be there. */
function name(s: Scanner, rule: string): string {
  const at = s.offset;
  const text = s.match(saslName)?.[0] ?? s.fail(rule);
  if (/=(?!2C|3D)/.test(text)) throw new SyntaxFault(rule, at);
  return text.replaceAll('=2C', ',').replaceAll('=3D', '=');
}

function base64(s: Scanner, rule: string): Buffer {
  const at = s.offset;
  const text = s.match(base64Text)?.[0] ?? '';
  if (text.length % 4 !== 0) throw new SyntaxFault(rule, at);
  return Buffer.from(text, 'base64');
}
