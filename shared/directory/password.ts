import { argon2, randomBytes, timingSafeEqual } from 'node:crypto';
import { hashingTurns } from './turns.ts';

/** RFC 9106 section 3.1; memory in KiB. */
type Argon2Parameters = {
  readonly memory: number;
  readonly passes: number;
  readonly parallelism: number;
};

/**
 * Who made a password. One that we generated (generate-password.ts) can't be guessed, however fast
 * each guess is: what makes a hash slow would only make a thousand mailboxes slow.
 */
export type PasswordOrigin = 'chosen' | 'generated';

const current: Readonly<Record<PasswordOrigin, Argon2Parameters>> = {
  /** 19 MiB and two passes: OWASP's minimum for argon2id, 35 to 70 ms of one core. */
  chosen: { memory: 19 * 1024, passes: 2, parallelism: 1 },
  /** The least that argon2id has, a fraction of a millisecond. */
  generated: { memory: 8, passes: 1, parallelism: 1 },
};
const saltBytes = 16;
const tagBytes = 32;

/** What a stored hash may ask of us, so that a tampered row can't take all memory. */
const mostMemory = 1024 * 1024;
const mostPasses = 64;

const phc =
  /^\$argon2id\$v=19\$m=([1-9][0-9]{0,8}),t=([1-9][0-9]{0,3}),p=([1-9][0-9]{0,2})\$([A-Za-z0-9+/]{11,64})\$([A-Za-z0-9+/]{22,86})$/;

/** The PHC string ("$argon2id$v=19$...") of a password that was prepared. */
export async function hashPassword(prepared: string, origin: PasswordOrigin = 'chosen'): Promise<string> {
  const salt = randomBytes(saltBytes);
  const { memory, passes, parallelism } = current[origin];
  const tag = await derive(prepared, salt, tagBytes, current[origin]);
  return `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}$${unpadded(salt)}$${unpadded(tag)}`;
}

/** Whether the prepared password made this hash. Throws for a string that is no argon2id hash. */
export async function verifyPassword(prepared: string, hash: string): Promise<boolean> {
  const { parameters, salt, tag } = parsePhc(hash);
  return timingSafeEqual(await derive(prepared, salt, tag.length, parameters), tag);
}

/** True where a new hash of the same password would be harder to guess. A generated password needs none. */
export function needsRehash(hash: string): boolean {
  const { memory, passes, parallelism } = parsePhc(hash).parameters;
  const { chosen, generated } = current;
  if (memory === generated.memory && passes === generated.passes && parallelism === generated.parallelism) return false;
  return memory < chosen.memory || passes < chosen.passes || parallelism !== chosen.parallelism;
}

function parsePhc(hash: string): { parameters: Argon2Parameters; salt: Buffer; tag: Buffer } {
  const [, memory, passes, parallelism, salt, tag] = phc.exec(hash) ?? [];
  if (salt === undefined || tag === undefined) throw new Error('not an argon2id hash in PHC form');
  const parameters = { memory: Number(memory), passes: Number(passes), parallelism: Number(parallelism) };
  if (parameters.memory > mostMemory || parameters.passes > mostPasses) {
    throw new Error(`an argon2id hash asks for m=${memory},t=${passes}, more than is allowed`);
  }
  return { parameters, salt: Buffer.from(salt, 'base64'), tag: Buffer.from(tag, 'base64') };
}

function derive(message: string, nonce: Buffer, tagLength: number, parameters: Argon2Parameters): Promise<Buffer> {
  return hashingTurns.take(
    () =>
      new Promise((resolve, reject) => {
        argon2('argon2id', { message, nonce, tagLength, ...parameters }, (error, tag) => {
          if (error) reject(error);
          else resolve(tag);
        });
      }),
  );
}

/** PHC strings leave out the padding of base64. */
function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replaceAll('=', '');
}
