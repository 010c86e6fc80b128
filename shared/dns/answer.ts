/**
 * What a question to the DNS can come to. The DNS folder knows no SMTP and no database; names are canonical
 * (shared/text/domain-name.ts) or begin with labels such as "_mta-sts".
 */

export type MxRecord = { readonly preference: number; readonly exchange: string };

/** RFC 6698 section 2.1. */
export type TlsaRecord = {
  readonly usage: number;
  readonly selector: number;
  readonly matchingType: number;
  readonly certificate: Buffer;
};

/** RFC 2782. The target is "" where the service is said not to be there. */
export type SrvRecord = {
  readonly priority: number;
  readonly weight: number;
  readonly port: number;
  readonly target: string;
};

/** What each type's records are read into. The strings of one TXT record come apart. */
export type RecordData = {
  readonly A: string;
  readonly AAAA: string;
  readonly MX: MxRecord;
  readonly NS: string;
  readonly PTR: string;
  readonly SRV: SrvRecord;
  readonly TXT: readonly string[];
  readonly TLSA: TlsaRecord;
};

export type RecordType = keyof RecordData;

/** `bogus`: the resolver says that DNSSEC failed (RFC 8914); most say no more than `servfail`. */
export type DnsFailureReason = 'servfail' | 'bogus' | 'refused' | 'timeout' | 'unreachable' | 'malformed';

export type DnsFailure = { readonly kind: 'failure'; readonly reason: DnsFailureReason };

/** NXDOMAIN is `no-name`; NODATA (RFC 2308 section 2.2) is `no-data`. */
export type DnsAnswer<Data> =
  | {
      readonly kind: 'records';
      readonly records: readonly Data[];
      /** Where CNAMEs led; the name asked for where there are none. */
      readonly canonicalName: string;
      /** The resolver says that it checked the signatures (AD, RFC 4035 section 3.2.3) of all of the answer. */
      readonly isAuthentic: boolean;
    }
  | { readonly kind: 'no-name' | 'no-data'; readonly canonicalName: string; readonly isAuthentic: boolean }
  | DnsFailure;

/** Asks the DNS. Never rejects but with the reason of `signal`. */
export interface Resolver {
  resolve<Type extends RecordType>(
    name: string,
    type: Type,
    signal?: AbortSignal,
  ): Promise<DnsAnswer<RecordData[Type]>>;
}

/** For log lines and for what the administrator reads. */
export function describeDnsFailure(reason: DnsFailureReason): string {
  switch (reason) {
    case 'servfail':
      return 'the resolver could not get an answer (SERVFAIL)';
    case 'bogus':
      return 'the answer fails DNSSEC validation (bogus)';
    case 'refused':
      return 'the resolver refuses to answer us';
    case 'timeout':
      return 'no answer in time';
    case 'unreachable':
      return 'no resolver can be reached';
    case 'malformed':
      return 'the answer makes no sense';
    default:
      return reason satisfies never;
  }
}
