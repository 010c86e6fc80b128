import { createHash } from 'node:crypto';

const hashes = new WeakMap<object, string>();

/** Keys come in the schema's order, not the manifest's, so the same spec has the same hash. */
export function specHash(spec: unknown): string {
  const known = typeof spec === 'object' && spec !== null ? hashes.get(spec) : undefined;
  if (known !== undefined) return known;
  const text = JSON.stringify(spec, (_, value: unknown) => (typeof value === 'bigint' ? `${value}` : value));
  const hash = createHash('sha256').update(text).digest('hex');
  if (typeof spec === 'object' && spec !== null) hashes.set(spec, hash);
  return hash;
}
