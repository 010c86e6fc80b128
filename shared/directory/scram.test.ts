import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { expect, test } from 'vitest';
import {
  deriveScramVerifier,
  formatScramVerifier,
  makeScramVerifier,
  matchesScramVerifier,
  parseScramVerifier,
} from './scram.ts';
import type { ScramVerifier } from './scram.ts';

/** RFC 5802 section 3, the server's side: does the proof come from the password? And what does it answer? */
function answer(verifier: ScramVerifier, authMessage: string, proof: Buffer): string | null {
  const name = verifier.mechanism === 'SCRAM-SHA-1' ? 'sha1' : 'sha256';
  const signature = createHmac(name, verifier.storedKey).update(authMessage).digest();
  const clientKey = Buffer.from(proof.map((byte, i) => byte ^ (signature[i] ?? 0)));
  const isRight = timingSafeEqual(createHash(name).update(clientKey).digest(), verifier.storedKey);
  return isRight ? createHmac(name, verifier.serverKey).update(authMessage).digest('base64') : null;
}

test('the exchange of RFC 5802 section 5', async () => {
  const salt = Buffer.from('QSXCR+Q6sek8bf92', 'base64');
  const verifier = await deriveScramVerifier('SCRAM-SHA-1', 'pencil', salt, 4096);
  const authMessage =
    'n=user,r=fyko+d2lbbFgONRv9qkxdawL,' +
    'r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096,' +
    'c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j';
  const proof = Buffer.from('v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=', 'base64');
  expect(answer(verifier, authMessage, proof)).toBe('rmF9pqV8S7suAoZWja4dJRkFsKQ=');
});

test('the exchange of RFC 7677 section 3', async () => {
  const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64');
  const verifier = await deriveScramVerifier('SCRAM-SHA-256', 'pencil', salt, 4096);
  const authMessage =
    'n=user,r=rOprNGfwEbeRWgbNEkqO,' +
    'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,' +
    'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0';
  const proof = Buffer.from('dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=', 'base64');
  expect(answer(verifier, authMessage, proof)).toBe('6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=');
});

test.each(['SCRAM-SHA-256', 'SCRAM-SHA-1'] as const)(
  '%s: formatting then parsing gives the same verifier',
  async (mechanism) => {
    const verifier = await makeScramVerifier(mechanism, 'correct horse');
    expect(verifier.iterations).toBe(16_384);
    const text = formatScramVerifier(verifier);
    expect(text.startsWith(`${mechanism}$16384:`)).toBe(true);
    expect(parseScramVerifier(text)).toEqual(verifier);
    expect(await matchesScramVerifier('correct horse', verifier)).toBe(true);
    expect(await matchesScramVerifier('correct horsf', verifier)).toBe(false);
  },
);

test.each([
  '',
  'SCRAM-MD5$16384:AAAA$AAAA:AAAA',
  'SCRAM-SHA-256$16384:AAAA$AAAA:AAAA',
  `SCRAM-SHA-1$99999999:AAAA$${Buffer.alloc(20).toString('base64')}:${Buffer.alloc(20).toString('base64')}`,
])('%j is no verifier', (text) => {
  expect(() => parseScramVerifier(text)).toThrow(/SCRAM/);
});
