import type { DnsAnswer } from './answer.ts';

/** Seconds that an answer is kept at most, whatever its TTL says. */
const maxTtlSeconds = 24 * 3600;
/** RFC 2308 section 5 suggests one to three hours. */
const maxNegativeTtlSeconds = 3 * 3600;
/** RFC 9520 section 3.2: failures too, for a second at least and five minutes at most. */
const failureTtlSeconds = 5;

type Kept = { readonly answer: DnsAnswer<unknown>; readonly untilMs: number };

/** Answers by name and type until their TTL is over; the ones used longest ago make room. */
export class AnswerCache {
  readonly #maxEntries: number;
  readonly #nowMs: () => number;
  /** In the order of their last use. */
  readonly #entries = new Map<string, Kept>();

  constructor(maxEntries: number, nowMs: () => number) {
    this.#maxEntries = maxEntries;
    this.#nowMs = nowMs;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): DnsAnswer<unknown> | null {
    const kept = this.#entries.get(key);
    if (!kept) return null;
    this.#entries.delete(key);
    if (kept.untilMs <= this.#nowMs()) return null;
    this.#entries.set(key, kept);
    return kept.answer;
  }

  put(key: string, answer: DnsAnswer<unknown>, ttlSeconds: number): void {
    const seconds = boundedTtl(answer, ttlSeconds);
    if (seconds <= 0) return;
    this.#entries.delete(key);
    this.#entries.set(key, { answer, untilMs: this.#nowMs() + seconds * 1000 });
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#maxEntries) return;
      this.#entries.delete(oldest);
    }
  }
}

function boundedTtl({ kind }: DnsAnswer<unknown>, ttlSeconds: number): number {
  if (kind === 'failure') return failureTtlSeconds;
  return Math.min(ttlSeconds, kind === 'records' ? maxTtlSeconds : maxNegativeTtlSeconds);
}
