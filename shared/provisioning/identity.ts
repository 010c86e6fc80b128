import { createHash } from 'node:crypto';

/** The namespace of our UUIDs of version 5. Changing it would make every account of a manifest folder a new one. */
const ours = Buffer.from('b1d3c7f05a0e4c5b9a3e52f1d0c6e87a', 'hex');

/**
 * The identity of a resource that has none from a cluster: RFC 9562 section 5.5, of kind/namespace/name. The same
 * manifest is the same account for ever, whatever its file is called.
 */
export function resourceUid(kind: string, namespace: string, name: string): string {
  const hash = createHash('sha1').update(ours).update(`${kind}/${namespace}/${name}`).digest().subarray(0, 16);
  hash[6] = ((hash[6] ?? 0) & 0x0f) | 0x50;
  hash[8] = ((hash[8] ?? 0) & 0x3f) | 0x80;
  const hex = hash.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
