import { randomInt, timingSafeEqual } from 'node:crypto';
import type { Keyring } from './keyring.ts';
import type { PasswordOrigin } from './password.ts';

/** Letters and digits that nobody mistakes for one another (no 0 O o, 1 I l) and no shell or YAML reads apart. */
const characters = 'abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789';

/** A random password of `length` characters, each worth 5.8 bits. */
export function generatePassword(length: number): string {
  return Array.from({ length }, () => characters[randomInt(characters.length)]).join('');
}

/** 23 characters are 133 bits: enough to need no slow hash. */
const lengthBeyondGuessing = 23;

/** What a Secret is that we wrote. */
export type GeneratedSecret = { readonly namespace: string; readonly name: string; readonly password: string };

/** An annotation (or comment) of a Secret with a generated password, by which we know later that nobody changed it. */
export const generatedAnnotation = 'postrider.dev/generated';

/** The annotation's value: a keyed hash, which nobody makes without the keyring. */
export function generatedMark(keyring: Keyring, secret: GeneratedSecret): string {
  return `${keyring.activeId}:${tagOf(keyring, keyring.activeId, secret).toString('base64')}`;
}

/** Whether we generated the password: `mark` is the annotation's value, undefined where there is none. */
export function originOf(keyring: Keyring, secret: GeneratedSecret, mark: string | undefined): PasswordOrigin {
  if (mark === undefined || secret.password.length < lengthBeyondGuessing) return 'chosen';
  const at = mark.indexOf(':');
  const keyId = mark.slice(0, Math.max(0, at));
  if (!keyring.ids.includes(keyId)) return 'chosen';
  const given = Buffer.from(mark.slice(at + 1), 'base64');
  const right = tagOf(keyring, keyId, secret);
  return given.length === right.length && timingSafeEqual(given, right) ? 'generated' : 'chosen';
}

function tagOf(keyring: Keyring, keyId: string, { namespace, name, password }: GeneratedSecret): Buffer {
  return keyring.tag(keyId, password, `generated password of secret ${namespace}/${name}`);
}
