/** The password in a Secret. */
import { preparePassword } from '#shared/directory/prepare-password.ts';
import type { SecretResource } from './resource.ts';

/** By the values of Secrets that were read: an operator looks at the same ones again and again. */
const prepared = new WeakMap<SecretResource['spec'], Map<string, string | null>>();

/** Null: there is none under the key, or it is none that could be used. */
export function passwordOf({ spec }: SecretResource, key: string): string | null {
  const known = prepared.get(spec) ?? new Map<string, string | null>();
  prepared.set(spec, known);
  const found = known.get(key);
  if (found !== undefined) return found;
  const text = spec.get(key);
  const value = text === undefined ? null : preparePassword(text.replace(/\r?\n$/, ''));
  known.set(key, value);
  return value;
}
