/** What the looks at a domain's DNS come to: the condition DNSReady, and what the status says of each record. Pure. */
import type { ConditionReport } from '#operator/status/condition.ts';
import type { DomainLook, RecordLook } from './dns-look.ts';
import type { RecordState } from './judge-record.ts';
import { maxSpfLookups, type SpfFindings } from './spf.ts';
import { zoneLines, type RecordPurpose, type WantedRecord } from './wanted-records.ts';

/** One element of `status.dnsRecords`. */
export type RecordStatus = {
  readonly name: string;
  readonly type: string;
  readonly ttl: number;
  readonly values: readonly string[];
  readonly zoneLines: readonly string[];
  readonly found?: readonly string[];
  readonly purpose: string;
  readonly required: boolean;
  readonly state: RecordState;
};

/** As the resource's schema has it. */
const maxRecordsTold = 64;
const maxNamed = 6;

/** What records are called in reasons, in the order in which they matter. */
const reasonWords: Readonly<Record<RecordPurpose, string>> = {
  challenge: 'Challenge',
  inbound: 'MX',
  spf: 'SPF',
  dkim: 'DKIM',
  dmarc: 'DMARC',
  'mta-sts': 'MTASTS',
  'tls-rpt': 'TLSRPT',
  'client-host': 'ClientHost',
  'client-discovery': 'SRV',
  ptr: 'PTR',
};
const purposes = Object.keys(reasonWords) as readonly RecordPurpose[];

/** `looks` are null where nobody has looked yet, or nobody is to look. */
export function recordStatuses(wanted: readonly WantedRecord[], look: DomainLook | null): readonly RecordStatus[] {
  const verdicts = new Map(look?.records.map(({ record, verdict }) => [essence(record), verdict]));
  return wanted.slice(0, maxRecordsTold).map((record) => {
    const { state, found } = verdicts.get(essence(record)) ?? { state: 'Unknown', found: [] };
    return {
      name: `${record.name}.`,
      type: record.type,
      ttl: record.ttlSeconds,
      values: record.values,
      zoneLines: zoneLines(record),
      ...(found.length > 0 && { found }),
      purpose: record.purpose,
      required: record.isRequired,
      state,
    };
  });
}

function essence({ name, type, values }: WantedRecord): string {
  return `${name} ${type} ${values.join(' ')}`;
}

/** Whose faults come first: what is missing or wrong, then what nobody knows. */
export function dnsCondition({ records, spf }: DomainLook): ConditionReport {
  const required = records.filter(({ record }) => record.isRequired);
  const bad = required.filter(({ verdict: { state } }) => state === 'Missing' || state === 'Mismatch');
  const [worst] = bad.toSorted(byWeight);
  if (worst) return report('False', reasonOf(worst), describeBad(bad, required.length));
  const spfFault = [...spf].map(([name, findings]) => judgeSpf(name, findings)).find((fault) => fault !== null);
  if (spfFault) return report('False', spfFault.reason, spfFault.message);
  const unknown = required.filter(({ verdict: { state } }) => state === 'Unknown');
  if (unknown.length > 0) {
    const details = [...new Set(unknown.map(({ verdict }) => verdict.detail).filter(Boolean))].join('; ');
    const message = `${unknown.length} of ${required.length} required records could not be looked up: ${names(unknown)}`;
    return report('Unknown', 'LookupFailed', details === '' ? message : `${message} (${details})`);
  }
  return report('True', 'Verified', describeGood(records, spf));
}

function report(status: ConditionReport['status'], reason: string, message: string): ConditionReport {
  return { type: 'DNSReady', status, reason, message };
}

function byWeight(a: RecordLook, b: RecordLook): number {
  return purposes.indexOf(a.record.purpose) - purposes.indexOf(b.record.purpose);
}

function reasonOf({ record, verdict }: RecordLook): string {
  return `${reasonWords[record.purpose]}${verdict.state === 'Missing' ? 'Missing' : 'Mismatch'}`;
}

function names(looks: readonly RecordLook[]): string {
  const told = looks.slice(0, maxNamed).map(({ record }) => `${record.type} ${record.name}`);
  return [...told, ...(looks.length > maxNamed ? [`and ${looks.length - maxNamed} more`] : [])].join(', ');
}

function describeBad(bad: readonly RecordLook[], of: number): string {
  const missing = bad.filter(({ verdict }) => verdict.state === 'Missing');
  const wrong = bad.filter(({ verdict }) => verdict.state === 'Mismatch');
  const details = bad
    .filter(({ verdict }) => verdict.detail !== '')
    .map(({ record, verdict }) => `${record.type} ${record.name}: ${verdict.detail}`)
    .slice(0, maxNamed);
  const parts = [
    ...(missing.length > 0 ? [`missing: ${names(missing)}`] : []),
    ...(wrong.length > 0 ? [`not as they should be: ${names(wrong)}`] : []),
    ...details,
  ];
  return `${bad.length} of ${of} required records are not there; ${parts.join('; ')}. status.dnsRecords has what to publish.`;
}

function judgeSpf(name: string, findings: SpfFindings): { readonly reason: string; readonly message: string } | null {
  if (findings.lookups > maxSpfLookups) {
    const message = `the SPF record of ${name} needs more than ${maxSpfLookups} DNS lookups, so receivers ignore it (RFC 7208 section 4.6.4)`;
    return { reason: 'SPFTooManyLookups', message };
  }
  if (findings.fault !== '') {
    return { reason: 'SPFMismatch', message: `the SPF record of ${name} is not valid: ${findings.fault}` };
  }
  if (findings.refused.length > 0) {
    const message = `the SPF record of ${name} does not permit ${findings.refused.join(', ')}, from where this server sends`;
    return { reason: 'SPFMismatch', message };
  }
  return null;
}

/** What is worth a word though it holds nothing up. */
function describeGood(records: readonly RecordLook[], spf: DomainLook['spf']): string {
  const hints = records
    .filter(
      ({ record, verdict }) => !record.isRequired && (verdict.state === 'Missing' || verdict.state === 'Mismatch'),
    )
    .toSorted(byWeight);
  const details = records.filter(({ verdict }) => verdict.state === 'Published' && verdict.detail !== '');
  const isSpfUnsure = [...spf.values()].some(({ failure }) => failure !== null);
  return [
    'the zone has all required records',
    ...(hints.length > 0 ? [`it would be well to have as well: ${names(hints)}`] : []),
    ...details.map(({ record, verdict }) => `${record.name}: ${verdict.detail}`),
    ...(isSpfUnsure ? ['what SPF records include could not all be looked up'] : []),
  ].join('; ');
}
