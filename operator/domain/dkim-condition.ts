/** What a domain's DKIM keys come to: the condition DKIMReady, what the status says of them, and when a key counts as seen. Pure. */
import type { DkimAlgorithm } from '#shared/db/sending-tables.ts';
import type { ConditionReport } from '#operator/status/condition.ts';
import type { RecordLook } from './dns-look.ts';
import type { DkimKeyRow } from './domain-rows.ts';

/** One element of `status.dkim`. */
export type DkimStatus = {
  readonly selector: string;
  readonly algorithm: DkimAlgorithm;
  readonly state: 'Pending' | 'Active' | 'Retiring';
  readonly since: string;
  readonly seenSince?: string;
  readonly record: string;
};

const stateWords = { pending: 'Pending', active: 'Active', retiring: 'Retiring' } as const;
const defaultAlgorithms: readonly DkimAlgorithm[] = ['rsa2048', 'ed25519'];

export function dkimStatuses(domain: string, keys: readonly DkimKeyRow[]): readonly DkimStatus[] {
  return keys.map(({ selector, algorithm, state, since, seenSince }) => ({
    selector,
    algorithm,
    state: stateWords[state],
    since: instant(since),
    ...(seenSince && { seenSince: instant(seenSince) }),
    record: `${recordName(selector, domain)}.`,
  }));
}

/**
 * True also while a key waits for its record: the domain's mail flows, only unsigned, so nothing is to wait for that.
 * `keyIds` are those of the keyring.
 */
export function dkimCondition(
  domain: string,
  { algorithms, keys }: { readonly algorithms: readonly DkimAlgorithm[] | null; readonly keys: readonly DkimKeyRow[] },
  keyIds: readonly string[],
): ConditionReport {
  const report = (status: ConditionReport['status'], reason: string, message: string): ConditionReport => {
    return { type: 'DKIMReady', status, reason, message };
  };
  const wanted = algorithms ?? defaultAlgorithms;
  const lost = keys.find(({ state, sealKeyId }) => state !== 'retiring' && !keyIds.includes(sealKeyId));
  if (lost) {
    const message = `the key ${lost.selector} is sealed with ${lost.sealKeyId}, which the keyring does not have`;
    return report('False', 'KeyMissing', message);
  }
  if (wanted.length === 0) return report('True', 'NotWanted', 'mail of the domain is not signed');
  const of = (state: DkimKeyRow['state']): readonly DkimKeyRow[] => keys.filter((key) => key.state === state);
  const without = wanted.filter((algorithm) => !of('active').some((key) => key.algorithm === algorithm));
  const pending = of('pending').map(({ selector }) => `${recordName(selector, domain)} TXT`);
  if (without.length > 0 && pending.length === 0) return report('Unknown', 'KeyMissing', 'keys are being made');
  if (without.length > 0) {
    const message = `no ${without.join(' and ')} signature before the DNS has ${pending.join(' and ')}; see status.dnsRecords`;
    return report('True', 'AwaitingDNS', message);
  }
  const active = of('active').map(({ selector }) => selector);
  if (pending.length > 0) {
    return report('True', 'Rotating', `${active.join(' and ')} sign until the DNS has ${pending.join(' and ')}`);
  }
  return report('True', 'Active', `mail is signed with ${active.join(' and ')}`);
}

/**
 * Which keys the DNS has, by selector; those of which nobody knows are left out. A new key must be at every name at
 * which the key that it replaces is: an alias domain that nobody ever set up holds nothing up.
 */
export function seenKeys(
  domain: string,
  aliasDomains: readonly string[],
  keys: readonly DkimKeyRow[],
  looks: readonly RecordLook[],
): ReadonlyMap<string, boolean> {
  const byName = new Map(looks.map((look) => [look.record.name, look]));
  const lookAt = (key: DkimKeyRow, name: string): RecordLook | undefined => byName.get(recordName(key.selector, name));
  const seen = new Map<string, boolean>();
  for (const key of keys) {
    if (key.state === 'retiring') continue;
    const active = keys.find(({ state, algorithm }) => state === 'active' && algorithm === key.algorithm);
    const counting = aliasDomains.filter((name) => active && lookAt(active, name)?.verdict.state === 'Published');
    const found = [domain, ...counting].map((name) => lookAt(key, name));
    if (found.some((look) => look === undefined || look.verdict.state === 'Unknown')) continue;
    const isThere = found.every((look) => look?.verdict.state === 'Published');
    // An active one need not be shown to resolvers again.
    seen.set(key.selector, isThere && (key.state === 'active' || found.every((look) => look?.isEverywhere)));
  }
  return seen;
}

function recordName(selector: string, domain: string): string {
  return `${selector}._domainkey.${domain}`;
}

/** RFC 3339 in whole seconds, as Kubernetes writes times. */
export function instant(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, 'Z');
}
