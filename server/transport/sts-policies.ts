/** MTA-STS (RFC 8461): which policy a domain has now. Fetching and reading is `mailauth`'s. */
import type { DNSResolver } from 'mailauth';
import { getPolicy, validateMx } from 'mailauth/lib/mta-sts.js';
import type { Clock } from '#shared/base/clock.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { StsPolicy, StsPolicyStore } from '#server/mail/outbound-routes.ts';
import { callbackResolver, type CallbackResolver } from '#shared/dns/callback-resolver.ts';
import type { Resolver } from '#shared/dns/answer.ts';
import { cleanText } from './smtp-reply.ts';

/** RFC 8461 section 3.3: how long a domain whose policy can't be fetched is not asked again, in ms. */
const failedRestMs = 5 * 60_000;
/** RFC 8461 section 10.2: a policy that is fetched anew once a day never runs out while its host works. */
const refetchMs = 24 * 3600_000;
const maxDomains = 10_000;
const fetchTimeoutMs = 20_000;

export type StsPoliciesOptions = {
  readonly resolver: Resolver;
  readonly store: StsPolicyStore;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Policies are not fetched from addresses that mail may not go to either. */
  readonly isAllowedAddress: (address: string) => boolean;
};

export type StsFinding = {
  readonly policy: StsPolicy | null;
  /** RFC 8460 section 4.3.2.2: why there is none, or an old one is still used; null: all is well, or there is no policy. */
  readonly problem: 'sts-policy-fetch-error' | 'sts-policy-invalid' | 'sts-webpki-invalid' | null;
};

const none: StsFinding = { policy: null, problem: null };

export class StsPolicies {
  readonly #options: StsPoliciesOptions;
  readonly #resolver: CallbackResolver;
  /** Domains that could not be fetched, and until when they rest, by the monotonic clock. */
  readonly #resting = new Map<string, { readonly untilMs: number; readonly finding: StsFinding }>();
  readonly #looking = new Map<string, Promise<StsFinding>>();

  constructor(options: StsPoliciesOptions) {
    this.#options = options;
    this.#resolver = callbackResolver(options.resolver, options.isAllowedAddress);
  }

  /** `domain` canonical. Never rejects for what the domain does; the store's errors come through. */
  async find(domain: string): Promise<StsFinding> {
    const resting = this.#resting.get(domain);
    if (resting && this.#options.clock.monotonicMs() < resting.untilMs) return resting.finding;
    const looking = this.#looking.get(domain);
    if (looking) return looking;
    const begun = this.#look(domain).finally(() => this.#looking.delete(domain));
    this.#looking.set(domain, begun);
    return begun;
  }

  async #look(domain: string): Promise<StsFinding> {
    const { resolver, store, clock } = this.#options;
    const known = await store.get(domain);
    // Nearly all domains have none: their TXT record's absence is in the resolver's cache.
    const txt = await resolver.resolve(`_mta-sts.${domain}`, 'TXT');
    if (txt.kind !== 'records' && txt.kind !== 'failure' && !known) return none;
    const now = clock.now();
    const isFresh = known !== null && now.getTime() - known.checkedAt.getTime() < refetchMs;
    const found = await getPolicy(domain, known && isFresh ? toMailauth(known) : null, {
      resolver: this.#resolver as DNSResolver,
      strict: true,
      timeout: fetchTimeoutMs,
    });
    if (found.status === 'found') {
      const { policy } = found;
      const maxAgeSeconds = policy.maxAge ?? 0;
      const expiresAt = new Date(now.getTime() + maxAgeSeconds * 1000);
      // A policy of mode "none" has no hosts, whatever the type says.
      const mx = [...((policy.mx as readonly string[] | undefined) ?? [])];
      const fresh = { id: String(policy.id), mode: policy.mode, mx, maxAgeSeconds, expiresAt, checkedAt: now };
      await store.put(domain, fresh);
      this.#resting.delete(domain);
      return { policy: fresh, problem: null };
    }
    if (found.status === 'renewed') return { policy: known, problem: null };
    if (found.status === 'not_found' && !known) return none;
    return this.#failed(domain, known, found.policy.error);
  }

  /** A policy that was fetched before holds until it expires (RFC 8461 section 5.1). */
  #failed(domain: string, known: StsPolicy | null, error: unknown): StsFinding {
    const { clock, logger } = this.#options;
    const finding = { policy: known, problem: problemOf(error) };
    this.#resting.set(domain, { untilMs: clock.monotonicMs() + failedRestMs, finding });
    for (const oldest of this.#resting.keys()) {
      if (this.#resting.size <= maxDomains) break;
      this.#resting.delete(oldest);
    }
    const reason = cleanText(error instanceof Error ? error.message : 'unknown');
    const fields = { event: 'sts.fetch-failed', domain, problem: finding.problem, reason, hasOld: known !== null };
    logger.warn(fields, 'the MTA-STS policy of a domain could not be fetched');
    return finding;
  }
}

/** RFC 8461 section 4.1. */
export function allowsMx(policy: StsPolicy, host: string): boolean {
  return validateMx(host, toMailauth(policy)).valid;
}

type MailauthPolicy = NonNullable<Parameters<typeof getPolicy>[1]>;

function toMailauth({ id, mode, mx, maxAgeSeconds, expiresAt }: StsPolicy): MailauthPolicy {
  return { id, mode, mx: [...mx], maxAge: maxAgeSeconds, expires: expiresAt.toISOString() };
}

function problemOf(error: unknown): NonNullable<StsFinding['problem']> {
  const { code } = error instanceof Error && 'code' in error ? error : { code: '' };
  if (typeof code !== 'string') return 'sts-policy-fetch-error';
  if (code.startsWith('invalid_sts') || code === 'invalid_content_type') return 'sts-policy-invalid';
  if (code.startsWith('ERR_TLS') || code.includes('CERT') || code.includes('SIGNATURE')) return 'sts-webpki-invalid';
  return 'sts-policy-fetch-error';
}
