import { createCipheriv, createDecipheriv, createHmac, createSecretKey, hkdfSync, randomBytes } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { z } from 'zod';
import { writeNewSecretFile } from '#shared/base/new-file.ts';
import { ProgramFault } from '#shared/base/program-fault.ts';

const cipher = 'aes-256-gcm';
const keyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;
/** First byte of what is sealed, so that another cipher can follow one day. */
const formatVersion = 1;

export type Sealed = { readonly keyId: string; readonly bytes: Buffer };

/**
 * Seals what lies in the database and must be read again (SCRAM verifiers, keys, passwords of other servers):
 * AES-256-GCM, a random nonce each, bound to a context that says what it is and whose. A row that is copied to
 * another account, or a verifier put in place of another, does not open.
 */
export interface Keyring {
  /** The key that `seal` uses. */
  readonly activeId: string;
  /** Of all keys, the active one among them. */
  readonly ids: readonly string[];
  seal(plain: Buffer, context: string): Sealed;
  /** Throws where the key is not here, or anything of the three was changed. */
  open(sealed: Sealed, context: string): Buffer;
  /** A keyed hash of a text in a context, 32 bytes: says nothing without the key. Throws where the key is not here. */
  tag(keyId: string, text: string, context: string): Buffer;
  /** A key for another purpose, the same wherever the same key is active (HKDF, RFC 5869). */
  deriveKey(purpose: string, bytes: number): Buffer;
}

const keyringFile = z.strictObject({
  /** The key that seals from now on; the others open what they sealed. */
  active: z.string(),
  keys: z.record(
    z.string(),
    z.base64().refine((text) => Buffer.from(text, 'base64').length === keyBytes, `a key has ${keyBytes} bytes`),
  ),
});

export function createKeyring(keys: ReadonlyMap<string, Buffer>, active: string): Keyring {
  const find = (id: string): Buffer => {
    const key = keys.get(id);
    if (!key) throw new Error(`the keyring has no key ${id}`);
    return key;
  };
  const activeKey = find(active);
  /** As an object, which Node takes more readily than a Buffer. */
  const sealingKey = createSecretKey(activeKey);
  /** Keys for tags: what seals is used for nothing else. As objects, since Node takes 40 µs for a Buffer each time. */
  const tagKeys = new Map<string, KeyObject>();
  const tagKey = (id: string): KeyObject => {
    const known = tagKeys.get(id);
    if (known) return known;
    const key = createSecretKey(Buffer.from(hkdfSync('sha256', find(id), '', 'postrider tag', keyBytes)));
    tagKeys.set(id, key);
    return key;
  };
  return {
    activeId: active,
    ids: [...keys.keys()],
    seal: (plain, context) => {
      const nonce = randomBytes(nonceBytes);
      const sealing = createCipheriv(cipher, sealingKey, nonce).setAAD(Buffer.from(context));
      const sealed = Buffer.concat([sealing.update(plain), sealing.final()]);
      const bytes = Buffer.concat([Buffer.of(formatVersion), nonce, sealing.getAuthTag(), sealed]);
      return { keyId: active, bytes };
    },
    open: ({ keyId, bytes }, context) => {
      if (bytes[0] !== formatVersion || bytes.length < 1 + nonceBytes + tagBytes) {
        throw new Error('not a sealed value of a format known here');
      }
      const nonce = bytes.subarray(1, 1 + nonceBytes);
      const tag = bytes.subarray(1 + nonceBytes, 1 + nonceBytes + tagBytes);
      const opening = createDecipheriv(cipher, find(keyId), nonce).setAAD(Buffer.from(context)).setAuthTag(tag);
      return Buffer.concat([opening.update(bytes.subarray(1 + nonceBytes + tagBytes)), opening.final()]);
    },
    // A context has no NUL, so no two pairs are one text.
    tag: (keyId, text, context) => createHmac('sha256', tagKey(keyId)).update(`${context}\0${text}`).digest(),
    deriveKey: (purpose, bytes) => Buffer.from(hkdfSync('sha256', activeKey, '', `postrider key\0${purpose}`, bytes)),
  };
}

/**
 * Reads the keyring from a file. `whenMissing` 'create' is for the first start of a local database alone: with a
 * new keyring nothing that an older one sealed opens any more. Refuses a missing, unreadable or world-readable
 * file (ProgramFault 78).
 */
export async function openKeyring(file: string, whenMissing: 'create' | 'refuse'): Promise<Keyring> {
  if (whenMissing === 'create' && (await isMissing(file))) await createKeyringFile(file);
  return parseKeyring(await readKeyringFile(file), file);
}

/** A keyring as text has it. `where` names it in the ProgramFault 78 that says that it is none. */
export function parseKeyring(text: string, where: string): Keyring {
  try {
    const { active, keys } = keyringFile.parse(JSON.parse(text));
    return createKeyring(new Map(Object.entries(keys).map(([id, key]) => [id, Buffer.from(key, 'base64')])), active);
  } catch (cause) {
    // The cause may quote a key, so it is not told.
    const what = cause instanceof z.ZodError || cause instanceof SyntaxError ? 'is not a keyring' : 'lacks a key';
    throw new ProgramFault(78, `${where} ${what}`, 'Put it back as it was made; nothing else opens the database.');
  }
}

/** A keyring with one new key. */
export function newKeyringText(): string {
  const id = `k${randomBytes(4).toString('hex')}`;
  const text = JSON.stringify({ active: id, keys: { [id]: randomBytes(keyBytes).toString('base64') } }, null, 2);
  return `${text}\n`;
}

async function isMissing(file: string): Promise<boolean> {
  try {
    await stat(file);
    return false;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true;
    throw unreadable(file, error);
  }
}

async function readKeyringFile(file: string): Promise<string> {
  try {
    const { mode } = await stat(file);
    if ((mode & 0o007) !== 0) {
      throw new ProgramFault(78, `everybody on this machine can read the keyring ${file}`, `Run: chmod 600 ${file}`);
    }
    return await readFile(file, 'utf8');
  } catch (error) {
    throw error instanceof ProgramFault ? error : unreadable(file, error);
  }
}

function unreadable(file: string, cause: unknown): ProgramFault {
  const { code } = cause as NodeJS.ErrnoException;
  const why = code === 'ENOENT' ? 'there is none' : String(code);
  return new ProgramFault(
    78,
    `no keyring, no start: ${file} can't be read (${why})`,
    'Put back the keyring that was made together with the database.',
    { cause },
  );
}

/** Whoever comes second reads the first one's. */
async function createKeyringFile(file: string): Promise<void> {
  await writeNewSecretFile(file, newKeyringText());
}
