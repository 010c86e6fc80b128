/**
 * A stub resolver (RFC 1034 section 5.3.1) that asks full resolvers and keeps what they say. It believes their AD
 * bit, so the way to them must be one that nobody can write on: loopback or the cluster's network.
 */
import type { Clock } from '#shared/base/clock.ts';
import { AnswerCache } from './answer-cache.ts';
import type { DnsAnswer, DnsFailureReason, RecordData, RecordType, Resolver } from './answer.ts';
import { exchange } from './exchange.ts';
import type { DnsServer } from './exchange.ts';

export type ResolverOptions = {
  /** In the order in which they are asked; at least one. */
  readonly servers: readonly DnsServer[];
  readonly clock: Clock;
  /** Milliseconds that one server gets, in each round. */
  readonly timeoutsMs?: readonly number[];
  /** Answers kept; 20,000 unless told. */
  readonly maxEntries?: number;
};

const defaultTimeoutsMs: readonly number[] = [2_000, 4_000];
const defaultMaxEntries = 20_000;
/** Questions on their way at a time; each has a socket. */
const maxQuestions = 256;

export function createResolver(options: ResolverOptions): Resolver {
  return new StubResolver(options);
}

class StubResolver implements Resolver {
  readonly #options: ResolverOptions;
  readonly #cache: AnswerCache;
  /** Questions on their way: who asks the same waits for the same answer. */
  readonly #asking = new Map<string, Promise<DnsAnswer<unknown>>>();
  #free = maxQuestions;
  readonly #waiting: (() => void)[] = [];

  constructor(options: ResolverOptions) {
    this.#options = options;
    this.#cache = new AnswerCache(options.maxEntries ?? defaultMaxEntries, () => options.clock.monotonicMs());
  }

  async resolve<Type extends RecordType>(
    name: string,
    type: Type,
    signal?: AbortSignal,
  ): Promise<DnsAnswer<RecordData[Type]>> {
    signal?.throwIfAborted();
    const key = `${type} ${name.toLowerCase()}`;
    const known = this.#cache.get(key);
    if (known) return known as DnsAnswer<RecordData[Type]>;
    const asking = this.#asking.get(key) ?? this.#begin(key, name, type);
    return (await untilAborted(asking, signal)) as DnsAnswer<RecordData[Type]>;
  }

  #begin(key: string, name: string, type: RecordType): Promise<DnsAnswer<unknown>> {
    const asking = this.#ask(key, name, type).finally(() => this.#asking.delete(key));
    this.#asking.set(key, asking);
    return asking;
  }

  async #ask(key: string, name: string, type: RecordType): Promise<DnsAnswer<unknown>> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await this.#askServers(key, name, type);
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    }
  }

  /** One that can't answer is no reason not to ask the next; what a server knows is final. */
  async #askServers(key: string, name: string, type: RecordType): Promise<DnsAnswer<unknown>> {
    let reason: DnsFailureReason = 'unreachable';
    for (const timeoutMs of this.#options.timeoutsMs ?? defaultTimeoutsMs) {
      for (const server of this.#options.servers) {
        const reply = await exchange({ server, name, type, timeoutMs });
        if (typeof reply === 'string') {
          reason = worse(reason, reply);
          continue;
        }
        const { answer, ttlSeconds } = reply;
        if (answer.kind !== 'failure') {
          this.#cache.put(key, answer, ttlSeconds);
          return answer;
        }
        reason = worse(reason, answer.reason);
      }
      // Only silence may be chance: a server that says SERVFAIL says so again.
      if (reason !== 'timeout') break;
    }
    const failure = { kind: 'failure', reason } as const;
    this.#cache.put(key, failure, 0);
    return failure;
  }
}

/** Of several servers' failures the one that tells most. */
const telling: readonly DnsFailureReason[] = ['unreachable', 'timeout', 'malformed', 'refused', 'servfail', 'bogus'];

function worse(a: DnsFailureReason, b: DnsFailureReason): DnsFailureReason {
  return telling.indexOf(a) >= telling.indexOf(b) ? a : b;
}

/** The question goes on for others, and for the cache. */
async function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(signal.reason as Error);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
