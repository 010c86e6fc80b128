/**
 * Which DNS records a domain needs so that its mail arrives, is believed and is found by mail programs. Pure. The folder
 * knows domains' DNS, keys and certificates; it knows neither mailboxes nor who writes status.
 */
import type { DkimRecord } from '#shared/directory/dkim-keys.ts';
import { challengeName } from '#shared/directory/domain-claims.ts';

export type RecordPurpose =
  | 'inbound'
  | 'spf'
  | 'dkim'
  | 'dmarc'
  | 'mta-sts'
  | 'tls-rpt'
  | 'client-host'
  | 'client-discovery'
  | 'challenge'
  | 'ptr';

export type WantedRecord = {
  /** Canonical, no final dot. */
  readonly name: string;
  readonly type: 'MX' | 'TXT' | 'SRV' | 'CNAME' | 'PTR';
  readonly ttlSeconds: number;
  /** As a zone file has them, but a text is whole and without quotes. */
  readonly values: readonly string[];
  readonly purpose: RecordPurpose;
  /** Without it the domain is not ready. */
  readonly isRequired: boolean;
};

/** Ports that mail programs are told of; null: not offered. */
export type ClientServices = {
  readonly imaps: number | null;
  readonly submissions: number | null;
  readonly submission: number | null;
};

export type DmarcPolicy = 'none' | 'quarantine' | 'reject';

export type DomainNeeds = {
  readonly domain: string;
  readonly aliasDomains: readonly string[];
  /** The MailServer's: what MX records name. */
  readonly hostname: string;
  /** What mail programs connect to: the server's name, or one in the domain that has a certificate of its own. */
  readonly clientHost: string;
  readonly services: ClientServices;
  /** Of the domain and its alias domains. */
  readonly dkim: readonly DkimRecord[];
  readonly dmarc: {
    readonly policy: DmarcPolicy;
    readonly percent: number | null;
    readonly rua: readonly string[];
  };
  /** Null: no policy is announced. `id` changes with the policy. */
  readonly mtaSts: { readonly id: string } | null;
  /** Tokens that are still to be shown, or to stay since another namespace shows its own; by domain name. */
  readonly challenges: ReadonlyMap<string, string>;
  /** Addresses of the server, as its name has them. */
  readonly addresses: readonly string[];
};

const ttlSeconds = 3600;
/** Keys change, and who publishes them waits for it. */
const shortTtlSeconds = 300;

/** The main domain's first, and of each domain what matters most first. */
export function wantedRecords(needs: DomainNeeds): readonly WantedRecord[] {
  return [
    ...[needs.domain, ...needs.aliasDomains].flatMap((name) => recordsOfName(name, needs)),
    ...clientRecords(needs),
    ...needs.addresses.map((address): WantedRecord => ({
      name: reverseName(address),
      type: 'PTR',
      ttlSeconds,
      values: [`${needs.hostname}.`],
      purpose: 'ptr',
      // Whoever has the address has the zone; often it is the network's provider.
      isRequired: false,
    })),
  ];
}

function recordsOfName(name: string, needs: DomainNeeds): readonly WantedRecord[] {
  const text = (at: string, value: string, purpose: RecordPurpose, isRequired = true): WantedRecord => ({
    name: at,
    type: 'TXT',
    ttlSeconds: purpose === 'dkim' || purpose === 'challenge' ? shortTtlSeconds : ttlSeconds,
    values: [value],
    purpose,
    isRequired,
  });
  const token = needs.challenges.get(name);
  const reports = needs.dmarc.rua.map((address) => `mailto:${address}`).join(',');
  return [
    ...(token === undefined ? [] : [text(challengeName(name), token, 'challenge')]),
    {
      name,
      type: 'MX',
      ttlSeconds,
      values: [`10 ${needs.hostname}.`],
      purpose: 'inbound',
      isRequired: true,
    },
    // RFC 7208. Softly: DMARC says what becomes of the rest.
    text(name, 'v=spf1 mx ~all', 'spf'),
    ...needs.dkim
      .filter(({ domain }) => domain === name)
      .map((record) => text(record.name.replace(/\.$/, ''), record.value, 'dkim', record.state !== 'retiring')),
    text(`_dmarc.${name}`, dmarcValue(needs.dmarc), 'dmarc'),
    // RFC 8461 section 3.1, RFC 8460 section 3. Who tries out a policy wants to hear of it.
    ...(needs.mtaSts === null ? [] : [text(`_mta-sts.${name}`, `v=STSv1; id=${needs.mtaSts.id}`, 'mta-sts')]),
    ...(reports === ''
      ? []
      : [text(`_smtp._tls.${name}`, `v=TLSRPTv1; rua=${reports}`, 'tls-rpt', needs.mtaSts !== null)]),
  ];
}

/** RFC 7489 section 6.3. */
function dmarcValue({ policy, percent, rua }: DomainNeeds['dmarc']): string {
  const parts = [
    'v=DMARC1',
    `p=${policy}`,
    ...(percent === null || percent === 100 ? [] : [`pct=${percent}`]),
    ...(rua.length === 0 ? [] : [`rua=${rua.map((address) => `mailto:${address}`).join(',')}`]),
  ];
  return parts.join('; ');
}

/** RFC 6186, RFC 8314 section 5.1: how a mail program finds the servers from an address. */
function clientRecords({ domain, aliasDomains, hostname, clientHost, services }: DomainNeeds): readonly WantedRecord[] {
  const service = (at: string, label: string, port: number | null): readonly WantedRecord[] => {
    if (port === null) return [];
    const name = `_${label}._tcp.${at}`;
    const values = [`0 1 ${port} ${clientHost}.`];
    return [{ name, type: 'SRV', ttlSeconds, values, purpose: 'client-discovery', isRequired: false }];
  };
  const host: WantedRecord = {
    name: clientHost,
    type: 'CNAME',
    ttlSeconds,
    values: [`${hostname}.`],
    purpose: 'client-host',
    isRequired: true,
  };
  return [
    ...(clientHost === hostname ? [] : [host]),
    ...[domain, ...aliasDomains].flatMap((at) => [
      ...service(at, 'imaps', services.imaps),
      ...service(at, 'submissions', services.submissions),
      ...service(at, 'submission', services.submission),
    ]),
  ];
}

/** Where the name of an address is: RFC 1035 section 3.5, RFC 3596 section 2.5. */
export function reverseName(address: string): string {
  if (!address.includes(':')) return `${address.split('.').toReversed().join('.')}.in-addr.arpa`;
  return `${hexDigits(address).toReversed().join('.')}.ip6.arpa`;
}

function hexDigits(address: string): readonly string[] {
  const [head = '', tail] = address.toLowerCase().split('::');
  const groups = (part: string): readonly string[] => (part === '' ? [] : part.split(':').flatMap(embedded));
  const before = groups(head);
  const after = tail === undefined ? [] : groups(tail);
  const between = Array.from({ length: 8 - before.length - after.length }, () => '0');
  return [...before, ...between, ...after].flatMap((group) => group.padStart(4, '0').split(''));
}

/** An IPv4 address at the end of an IPv6 one is two groups. */
function embedded(group: string): readonly string[] {
  if (!group.includes('.')) return [group];
  const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
  return [(a * 256 + b).toString(16), (c * 256 + d).toString(16)];
}

/** A record as lines of a zone file; a text comes in strings of 255 bytes at most (RFC 1035 section 3.3.14). */
export function zoneLines(record: WantedRecord): readonly string[] {
  return record.values.map((value) => {
    const data = record.type === 'TXT' ? textStrings(value).map(quoted).join(' ') : value;
    return `${record.name}. ${record.ttlSeconds} IN ${record.type} ${data}`;
  });
}

/** All of it is ASCII. */
export function textStrings(value: string): readonly string[] {
  return value.match(/.{1,255}/g) ?? [''];
}

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}
