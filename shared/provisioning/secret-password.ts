/** The password in a Secret. */
import { preparePassword } from '#shared/directory/prepare-password.ts';
import type { SecretResource } from './resource.ts';

/** What was asked of a Secret last, by its values: an operator looks at the same ones again and again. */
const prepared = new WeakMap<SecretResource['spec'], { readonly key: string; readonly password: string | null }>();

/** Null: there is none under the key, or it is none that could be used. */
export function passwordOf({ spec }: SecretResource, key: string): string | null {
  const known = prepared.get(spec);
  if (known?.key === key) return known.password;
  const text = spec.get(key);
  const password = text === undefined ? null : preparePassword(text.replace(/\r?\n$/, ''));
  prepared.set(spec, { key, password });
  return password;
}
