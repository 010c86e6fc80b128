import { createHash, createHmac, createSecretKey, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import type { PasswordOrigin } from './password.ts';
import { hashingTurns } from './turns.ts';

export type ScramMechanism = 'SCRAM-SHA-256' | 'SCRAM-SHA-1';

const hashes = {
  'SCRAM-SHA-256': { name: 'sha256', bytes: 32 },
  'SCRAM-SHA-1': { name: 'sha1', bytes: 20 },
} as const;

/**
 * RFC 7677 section 4 and RFC 5802 section 5.1 ask for 4096 at least. It is the client that spends them at each
 * login: 16,384 are some 10 ms of a phone. They would not be enough against somebody who guesses offline, which
 * is why verifiers are sealed with the keyring as well.
 */
const iterationsOfChosen = 16_384;
/** Of a password that we generated: nobody guesses it, so the RFCs' minimum will do. */
const iterationsOfGenerated = 4096;

export function iterationsOf(origin: PasswordOrigin): number {
  return origin === 'generated' ? iterationsOfGenerated : iterationsOfChosen;
}

export const saltBytes = 16;

/** What a stored verifier may ask of us. */
const mostIterations = 10_000_000;

/** What a server keeps of a password for SCRAM (RFC 5802 section 3). */
export type ScramVerifier = {
  readonly mechanism: ScramMechanism;
  readonly iterations: number;
  readonly salt: Buffer;
  readonly storedKey: Buffer;
  readonly serverKey: Buffer;
};

export function makeScramVerifier(
  mechanism: ScramMechanism,
  prepared: string,
  origin: PasswordOrigin = 'chosen',
  salt: Buffer = randomBytes(saltBytes),
): Promise<ScramVerifier> {
  return deriveScramVerifier(mechanism, prepared, salt, iterationsOf(origin));
}

/** RFC 5802 section 3: SaltedPassword, and from it StoredKey = H(ClientKey) and ServerKey. */
export async function deriveScramVerifier(
  mechanism: ScramMechanism,
  prepared: string,
  salt: Buffer,
  iterations: number,
): Promise<ScramVerifier> {
  const { name, bytes } = hashes[mechanism];
  const salted = await hashingTurns.take(
    () =>
      new Promise<Buffer>((resolve, reject) => {
        pbkdf2(prepared, salt, iterations, bytes, name, (error, key) => {
          if (error) reject(error);
          else resolve(key);
        });
      }),
  );
  const key = createSecretKey(salted);
  const clientKey = createHmac(name, key).update('Client Key').digest();
  const storedKey = createHash(name).update(clientKey).digest();
  const serverKey = createHmac(name, key).update('Server Key').digest();
  return { mechanism, iterations, salt, storedKey, serverKey };
}

/** Whether the prepared password made this verifier; cheaper than argon2id, for the reconciler's comparison. */
export async function matchesScramVerifier(prepared: string, verifier: ScramVerifier): Promise<boolean> {
  const { mechanism, salt, iterations, storedKey } = verifier;
  const derived = await deriveScramVerifier(mechanism, prepared, salt, iterations);
  return timingSafeEqual(derived.storedKey, storedKey);
}

/** RFC 5803 section 2: "SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey", in base64. */
export function formatScramVerifier(verifier: ScramVerifier): string {
  const { mechanism, iterations, salt, storedKey, serverKey } = verifier;
  const keys = `${storedKey.toString('base64')}:${serverKey.toString('base64')}`;
  return `${mechanism}$${iterations}:${salt.toString('base64')}$${keys}`;
}

const stored =
  /^(SCRAM-SHA-256|SCRAM-SHA-1)\$([1-9][0-9]{3,7}):([A-Za-z0-9+/]+={0,2})\$([A-Za-z0-9+/]+={0,2}):([A-Za-z0-9+/]+={0,2})$/;

/** Throws for anything that `formatScramVerifier` doesn't write. */
export function parseScramVerifier(text: string): ScramVerifier {
  const [, mechanism, iterations, salt = '', storedKey = '', serverKey = ''] = stored.exec(text) ?? [];
  if (mechanism !== 'SCRAM-SHA-256' && mechanism !== 'SCRAM-SHA-1') throw new Error('not a SCRAM verifier');
  const verifier = {
    mechanism,
    iterations: Number(iterations),
    salt: Buffer.from(salt, 'base64'),
    storedKey: Buffer.from(storedKey, 'base64'),
    serverKey: Buffer.from(serverKey, 'base64'),
  } as const;
  const { bytes } = hashes[mechanism];
  if (verifier.storedKey.length !== bytes || verifier.serverKey.length !== bytes) {
    throw new Error(`a ${mechanism} verifier has keys of the wrong length`);
  }
  if (verifier.iterations > mostIterations) throw new Error(`a SCRAM verifier asks for ${iterations} iterations`);
  return verifier;
}
