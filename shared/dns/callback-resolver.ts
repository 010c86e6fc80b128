import type { RecordType, Resolver } from './answer.ts';

/** The form in which `mailauth` asks: rows as `node:dns` gives them, rejections with its codes. */
export type CallbackResolver = (name: string, type: string) => Promise<unknown[]>;

/** `isAllowedAddress`: addresses that are not are as if they weren't there. */
export function callbackResolver(
  resolver: Resolver,
  isAllowedAddress: (address: string) => boolean = () => true,
): CallbackResolver {
  return async (name, type) => {
    const answer = await resolver.resolve(name, type as RecordType);
    if (answer.kind === 'failure') throw dnsError(answer.reason === 'timeout' ? 'ETIMEOUT' : 'ESERVFAIL', name);
    if (answer.kind !== 'records') throw dnsError(answer.kind === 'no-name' ? 'ENOTFOUND' : 'ENODATA', name);
    const records = answer.records as readonly unknown[];
    if (type !== 'A' && type !== 'AAAA') return type === 'MX' ? records.map(asNodeMx) : [...records];
    const allowed = records.filter((address) => isAllowedAddress(String(address)));
    if (allowed.length === 0) throw dnsError('ENODATA', name);
    return allowed;
  };
}

function asNodeMx(record: unknown): unknown {
  const { preference, exchange } = record as { readonly preference: number; readonly exchange: string };
  return { priority: preference, exchange };
}

function dnsError(code: string, name: string): Error {
  return Object.assign(new Error(`${code} ${name}`), { code });
}
