/** The key of an ACME account, and requests signed with it (RFC 8555 section 6.2, RFC 7515). ES256 and nothing else. */
import {
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
  type JsonWebKey,
  type KeyObject,
} from 'node:crypto';

export type AccountKey = {
  readonly privateKey: KeyObject;
  /** The public half, its members in the order that RFC 7638 section 3 hashes. */
  readonly jwk: JsonWebKey;
  /** RFC 7638, base64url. */
  readonly thumbprint: string;
};

/** RFC 7515 section 7.2.2. */
export type FlattenedJws = { readonly protected: string; readonly payload: string; readonly signature: string };

/** Links an account to one that the authority's administrator has given (RFC 8555 section 7.3.4). */
export type ExternalBinding = { readonly keyId: string; readonly hmacKey: Buffer };

/** A new P-256 key, PKCS#8 in PEM. */
export function newPrivateKey(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
}

/** Throws where the text is no P-256 key. */
export function readAccountKey(pem: string): AccountKey {
  const privateKey = createPrivateKey(pem);
  const { crv, kty, x, y } = createPublicKey(privateKey).export({ format: 'jwk' });
  if (crv !== 'P-256' || x === undefined || y === undefined) throw new Error('it is no P-256 key');
  const jwk = { crv, kty: String(kty), x, y };
  return { privateKey, jwk, thumbprint: createHash('sha256').update(JSON.stringify(jwk)).digest('base64url') };
}

/** `payload` null: POST-as-GET (RFC 8555 section 6.3). `header` has `nonce`, `url`, and `kid` or `jwk`. */
export function signed(
  { privateKey }: AccountKey,
  header: Readonly<Record<string, unknown>>,
  payload: unknown,
): FlattenedJws {
  const input = signingInput({ alg: 'ES256', ...header }, payload);
  const signature = sign('sha256', Buffer.from(input.text), { key: privateKey, dsaEncoding: 'ieee-p1363' });
  return { ...input.parts, signature: signature.toString('base64url') };
}

/** The value of `externalAccountBinding` in a newAccount request to `url`. */
export function bound({ keyId, hmacKey }: ExternalBinding, { jwk }: AccountKey, url: string): FlattenedJws {
  const input = signingInput({ alg: 'HS256', kid: keyId, url }, jwk);
  const signature = createHmac('sha256', hmacKey).update(input.text).digest('base64url');
  return { ...input.parts, signature };
}

function signingInput(
  header: object,
  payload: unknown,
): { readonly parts: Omit<FlattenedJws, 'signature'>; readonly text: string } {
  const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const parts = { protected: encode(header), payload: payload === null ? '' : encode(payload) };
  return { parts, text: `${parts.protected}.${parts.payload}` };
}
