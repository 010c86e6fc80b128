import { randomInt } from 'node:crypto';

/** Letters and digits that nobody mistakes for one another (no 0 O o, 1 I l) and no shell or YAML reads apart. */
const characters = 'abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789';

/** A random password of `length` characters, each worth 5.8 bits. */
export function generatePassword(length: number): string {
  return Array.from({ length }, () => characters[randomInt(characters.length)]).join('');
}
