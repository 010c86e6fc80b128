/**
 * What a zone's own servers say now, past everybody's caches: whether a record that was published a moment ago is
 * there. Which servers those are is asked of a resolver, which keeps it for the time the zone says.
 */
import { shuffled } from './shuffle.ts';
import type { DnsAnswer, DnsFailureReason, RecordData, RecordType, Resolver } from './answer.ts';
import { exchange } from './exchange.ts';
import { resolveAddresses } from './host-addresses.ts';

export type AuthorityOptions = {
  /** Finds the zone's servers. */
  readonly resolver: Resolver;
  readonly random: () => number;
  /** 53 but in tests. */
  readonly port?: number;
  /** That one server gets; a server that is silent is asked a second time. */
  readonly timeoutMs?: number;
};

export type AuthorityAnswer<Data> = {
  /** The server's name. */
  readonly server: string;
  readonly answer: DnsAnswer<Data>;
};

/** What each server said that said anything; or why nobody could be asked. */
export type AuthorityLook<Data> =
  | { readonly kind: 'answers'; readonly zone: string; readonly answers: readonly AuthorityAnswer<Data>[] }
  | { readonly kind: 'failure'; readonly reason: DnsFailureReason; readonly what: string };

/** Servers of one zone that are asked; who has more keeps them alike. */
const maxServers = 4;
/** Addresses of one server that are tried. */
const maxAddressesEach = 2;
/** CNAMEs from zone to zone. */
const maxAliases = 6;
const defaultTimeoutMs = 2_500;

/** Never rejects but with the reason of `signal`. `name` is canonical or begins with labels such as "_dmarc". */
export async function askAuthority<Type extends RecordType>(
  name: string,
  type: Type,
  options: AuthorityOptions & { readonly signal?: AbortSignal },
): Promise<AuthorityLook<RecordData[Type]>> {
  let asked = name;
  for (let aliases = 0; aliases < maxAliases; aliases++) {
    const look = await askZone(asked, type, options);
    const target = look.kind === 'answers' ? aliasOutOfZone(look.answers, asked) : null;
    if (target === null) return look;
    asked = target;
  }
  return { kind: 'failure', reason: 'malformed', what: `${name} leads through more than ${maxAliases} CNAMEs` };
}

/** A server follows a CNAME only as far as its own zones go. */
function aliasOutOfZone<Data>(answers: readonly AuthorityAnswer<Data>[], asked: string): string | null {
  for (const { answer } of answers) {
    if (answer.kind === 'failure' || answer.kind === 'records') continue;
    if (answer.canonicalName !== asked.toLowerCase()) return answer.canonicalName;
  }
  return null;
}

async function askZone<Type extends RecordType>(
  name: string,
  type: Type,
  options: AuthorityOptions & { readonly signal?: AbortSignal },
): Promise<AuthorityLook<RecordData[Type]>> {
  const zone = await findZone(name, options);
  if (zone.kind === 'failure') return zone;
  const asked = await Promise.all(
    shuffled(zone.servers, options.random)
      .slice(0, maxServers)
      .map(async (server) => ({ server, answer: await askServer(server, name, type, options) })),
  );
  const answers = asked.filter(({ answer }) => answer.kind !== 'failure');
  if (answers.length > 0) return { kind: 'answers', zone: zone.name, answers };
  const [failed] = asked;
  const reason = failed?.answer.kind === 'failure' ? failed.answer.reason : 'unreachable';
  return { kind: 'failure', reason, what: `no server of the zone ${zone.name || '.'} answers` };
}

type Zone = { readonly kind: 'zone'; readonly name: string; readonly servers: readonly string[] };

/** The closest name above that has servers of its own. */
async function findZone(
  name: string,
  { resolver, signal }: Pick<AuthorityOptions, 'resolver'> & { readonly signal?: AbortSignal },
): Promise<Zone | Extract<AuthorityLook<never>, { readonly kind: 'failure' }>> {
  const labels = name.split('.');
  for (let cut = 0; cut <= labels.length; cut++) {
    const zone = labels.slice(cut).join('.');
    const answer = await resolver.resolve(zone === '' ? '.' : zone, 'NS', signal);
    if (answer.kind === 'failure') {
      return { kind: 'failure', reason: answer.reason, what: `the servers of ${zone || '.'} could not be looked up` };
    }
    // Behind a CNAME they would be those of another zone.
    if (answer.kind === 'records' && answer.canonicalName === zone) {
      return { kind: 'zone', name: zone, servers: answer.records };
    }
  }
  return { kind: 'failure', reason: 'malformed', what: 'the root has no servers' };
}

async function askServer<Type extends RecordType>(
  server: string,
  name: string,
  type: Type,
  { resolver, random, port = 53, timeoutMs = defaultTimeoutMs, signal }: Parameters<typeof askZone>[2],
): Promise<DnsAnswer<RecordData[Type]>> {
  const { addresses, failure } = await resolveAddresses(server, { resolver, random, ...(signal && { signal }) });
  let reason: DnsFailureReason = failure ?? 'unreachable';
  for (const address of addresses.slice(0, maxAddressesEach)) {
    for (let attempt = 1; attempt <= 2; attempt++) {
      signal?.throwIfAborted();
      const reply = await exchange({ server: { address, port }, name, type, timeoutMs, asked: 'authority' });
      if (typeof reply !== 'string' && reply.answer.kind !== 'failure') return reply.answer;
      reason = failureOf(reply);
      if (reason !== 'timeout') break;
    }
  }
  return { kind: 'failure', reason };
}

function failureOf(reply: Awaited<ReturnType<typeof exchange>>): DnsFailureReason {
  if (typeof reply === 'string') return reply;
  return reply.answer.kind === 'failure' ? reply.answer.reason : 'malformed';
}
