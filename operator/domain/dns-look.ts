/** One look at the DNS of a domain: what the zone's own servers and two resolvers say of each record that is wanted. */
import { forEachBounded } from '#shared/base/bounded.ts';
import { askAuthority, type AuthorityOptions } from '#shared/dns/authority.ts';
import { exchange, type DnsServer } from '#shared/dns/exchange.ts';
import { resolveAddresses } from '#shared/dns/host-addresses.ts';
import { judgeAnswers, type AnyAnswer, type RecordVerdict } from './judge-record.ts';
import { examineSpf, type SpfFindings } from './spf.ts';
import type { WantedRecord } from './wanted-records.ts';

export type DnsLookOptions = AuthorityOptions & {
  /** Asked past our own cache whether they have a new key yet; the first two are. */
  readonly resolvers: readonly DnsServer[];
};

export type RecordLook = {
  readonly record: WantedRecord;
  readonly verdict: RecordVerdict;
  /** Resolvers have it as well; asked of keys alone. */
  readonly isEverywhere: boolean;
  /** All texts at the name of a challenge, whosever they are. */
  readonly texts: readonly string[];
};

export type DomainLook = {
  readonly records: readonly RecordLook[];
  /** By domain name, where there is one record. */
  readonly spf: ReadonlyMap<string, SpfFindings>;
  /** Servers of zones that answered. */
  readonly servers: readonly string[];
};

export type LookInput = {
  readonly wanted: readonly WantedRecord[];
  /** Where mail of the domain comes from, as far as it is known. */
  readonly addresses: readonly string[];
  readonly signal: AbortSignal;
};

/** Records looked at at a time. */
const recordsAtOnce = 8;
const resolversAsked = 2;
const resolverTimeoutMs = 3_000;

type OneLook = RecordLook & { readonly servers: readonly string[]; readonly spf: string | null };

/** Rejects with the signal's reason alone; what can't be looked up is `Unknown`. */
export async function lookAtDomain(
  { wanted, addresses, signal }: LookInput,
  options: DnsLookOptions,
): Promise<DomainLook> {
  const looks = new Map<WantedRecord, OneLook>();
  await forEachBounded(wanted, recordsAtOnce, async (record) => {
    signal.throwIfAborted();
    looks.set(record, await lookAtRecord(record, addresses, options, signal));
  });
  const spf = new Map<string, SpfFindings>();
  for (const [{ name }, { spf: text }] of looks) {
    if (text !== null) spf.set(name, await examineSpf(name, text, { resolver: options.resolver, addresses }));
  }
  return {
    records: wanted.flatMap((each) => {
      const look = looks.get(each);
      if (!look) return [];
      const { record, verdict, isEverywhere, texts } = look;
      return [{ record, verdict, isEverywhere, texts }];
    }),
    spf,
    servers: [...new Set([...looks.values()].flatMap(({ servers }) => servers))].toSorted(),
  };
}

async function lookAtRecord(
  record: WantedRecord,
  addresses: readonly string[],
  options: DnsLookOptions,
  signal: AbortSignal,
): Promise<OneLook> {
  const nothing = { record, isEverywhere: false, texts: [], servers: [], spf: null };
  if (record.type === 'CNAME') return { ...nothing, verdict: await lookAtHost(record, addresses, options, signal) };
  // Of an address' name nobody waits for a change.
  if (record.type === 'PTR') {
    return { ...nothing, verdict: judgeAnswers(record, [await options.resolver.resolve(record.name, 'PTR', signal)]) };
  }
  const look = await askAuthority(record.name, record.type, { ...options, signal });
  if (look.kind === 'failure') return { ...nothing, verdict: { state: 'Unknown', found: [], detail: look.what } };
  const answers: readonly AnyAnswer[] = look.answers.map(({ answer }) => answer);
  const verdict = judgeAnswers(record, answers);
  const isEverywhere =
    record.purpose === 'dkim' && verdict.state === 'Published' && (await isAtResolvers(record, options.resolvers));
  const texts = record.type === 'TXT' ? textsOf(answers) : [];
  const isSpf = record.purpose === 'spf' && verdict.state === 'Published';
  return {
    record,
    verdict,
    isEverywhere,
    texts: record.purpose === 'challenge' ? texts : [],
    servers: look.answers.map(({ server }) => server),
    spf: isSpf ? (texts.find((text) => /^v=spf1(?: |$)/i.test(text)) ?? null) : null,
  };
}

function textsOf(answers: readonly AnyAnswer[]): readonly string[] {
  const records = answers.flatMap((answer) => (answer.kind === 'records' ? answer.records : []));
  return records.map((strings) => (Array.isArray(strings) ? strings.join('') : ''));
}

/** Receivers ask theirs, which may still keep that there was nothing. */
async function isAtResolvers(record: WantedRecord, resolvers: readonly DnsServer[]): Promise<boolean> {
  const answers = await Promise.all(
    resolvers.slice(0, resolversAsked).map(async (server) => {
      const { name } = record;
      const reply = await exchange({ server, name, type: 'TXT', timeoutMs: resolverTimeoutMs });
      return typeof reply === 'string' ? null : reply.answer;
    }),
  );
  return answers.every((answer) => answer !== null && judgeAnswers(record, [answer]).state === 'Published');
}

/** A name of the domain that is to lead to the server, by a CNAME or by addresses. */
async function lookAtHost(
  { name, values }: WantedRecord,
  addresses: readonly string[],
  { resolver, random }: DnsLookOptions,
  signal: AbortSignal,
): Promise<RecordVerdict> {
  const hostname = (values[0] ?? '').replace(/\.$/, '');
  const [here, server] = await Promise.all([
    resolveAddresses(name, { resolver, random, signal }),
    resolveAddresses(hostname, { resolver, random, signal }),
  ]);
  if (here.canonicalHost === hostname) return { state: 'Published', found: [], detail: '' };
  if (here.addresses.length === 0) {
    return { state: here.failure === null ? 'Missing' : 'Unknown', found: [], detail: '' };
  }
  const isSame = here.addresses.some((address) => [...server.addresses, ...addresses].includes(address));
  return { state: isSame ? 'Published' : 'Mismatch', found: isSame ? [] : here.addresses.slice(0, 4), detail: '' };
}
