import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { ClientFinal, ClientFirst } from './scram-messages.ts';

/** What is kept of a password (RFC 5802 section 3). */
export type ScramKeys = {
  readonly iterations: number;
  readonly salt: Buffer;
  readonly storedKey: Buffer;
  readonly serverKey: Buffer;
};

export type ScramHash = 'sha256' | 'sha1';

export type ScramTranscript = {
  readonly hash: ScramHash;
  readonly first: ClientFirst;
  readonly serverFirst: string;
  readonly final: ClientFinal;
};

/**
 * RFC 5802 section 3: "v=" with ServerSignature where the client's proof shows that it knows the password; null where
 * it doesn't. Nonce and channel binding are the caller's to compare.
 */
export function checkProof({ hash, first, serverFirst, final }: ScramTranscript, keys: ScramKeys): string | null {
  const authMessage = `${first.bare},${serverFirst},${final.withoutProof}`;
  const signature = createHmac(hash, keys.storedKey).update(authMessage).digest();
  if (final.proof.length !== signature.length) return null;
  const clientKey = Buffer.from(final.proof.map((byte, at) => byte ^ (signature[at] ?? 0)));
  const storedKey = createHash(hash).update(clientKey).digest();
  if (!timingSafeEqual(storedKey, keys.storedKey)) return null;
  return `v=${createHmac(hash, keys.serverKey).update(authMessage).digest('base64')}`;
}
