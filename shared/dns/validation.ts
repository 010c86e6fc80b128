/** Whether the resolver validates DNSSEC: without it TLSA records prove nothing, and DANE is off (RFC 7672 section 2.2). */
import type { Clock } from '#shared/base/clock.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { Resolver } from './answer.ts';
import { describeDnsFailure } from './answer.ts';

export type Validation =
  { readonly isValidating: true; readonly reason: string } | { readonly isValidating: false; readonly reason: string };

/** How long a finding holds, in ms; one that a silent DNS may have caused is looked at again sooner. */
const holdsMs = 3600_000;
const doubtHoldsMs = 60_000;

export type ValidationOptions = {
  readonly resolver: Resolver;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A name whose signatures are wrong; an empty text leaves that part out. */
  readonly bogusName: string;
  /** Told after each look. */
  readonly tell?: (validation: Validation) => void;
};

/**
 * The root must come with AD set, and a name with wrong signatures must be SERVFAIL: a resolver that sets AD without
 * looking would make DANE worse than none.
 */
export class ValidationWatch {
  readonly #options: ValidationOptions;
  #found: { readonly validation: Validation; readonly untilMs: number } | null = null;
  #looking: Promise<Validation> | null = null;

  constructor(options: ValidationOptions) {
    this.#options = options;
  }

  /** What was found last; null: nobody has looked yet. For health and `info`. */
  get last(): Validation | null {
    return this.#found?.validation ?? null;
  }

  async current(): Promise<Validation> {
    const { clock } = this.#options;
    if (this.#found && clock.monotonicMs() < this.#found.untilMs) return this.#found.validation;
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null;
    });
    return this.#looking;
  }

  async #look(): Promise<Validation> {
    const { clock, logger } = this.#options;
    const { validation, isSure } = await this.#probe();
    if (this.#found?.validation.isValidating !== validation.isValidating) {
      const fields = { event: 'dns.validation', validating: validation.isValidating, reason: validation.reason };
      if (validation.isValidating) logger.info(fields, 'the resolver validates DNSSEC; DANE is on');
      else logger.warn(fields, 'DANE is off: the resolver does not validate DNSSEC');
    }
    this.#options.tell?.(validation);
    this.#found = { validation, untilMs: clock.monotonicMs() + (isSure ? holdsMs : doubtHoldsMs) };
    return validation;
  }

  async #probe(): Promise<{ readonly validation: Validation; readonly isSure: boolean }> {
    const { resolver, bogusName } = this.#options;
    const no = (reason: string, isSure: boolean) => ({ validation: { isValidating: false, reason } as const, isSure });
    const root = await resolver.resolve('.', 'NS');
    if (root.kind === 'failure')
      return no(`the root could not be looked up: ${describeDnsFailure(root.reason)}`, false);
    if (!root.isAuthentic) return no('answers about the signed root come without the AD bit', true);
    if (bogusName === '') return { validation: { isValidating: true, reason: 'the root comes signed' }, isSure: true };
    const bogus = await resolver.resolve(bogusName, 'A');
    if (bogus.kind === 'failure' && (bogus.reason === 'servfail' || bogus.reason === 'bogus')) {
      const reason = `the root comes signed, and ${bogusName} with its wrong signatures is refused`;
      return { validation: { isValidating: true, reason }, isSure: true };
    }
    if (bogus.kind === 'failure') {
      return no(`${bogusName} could not be looked up: ${describeDnsFailure(bogus.reason)}`, false);
    }
    // A network of its own, with a root of its own, may not have the name.
    if (bogus.kind !== 'records' && bogus.isAuthentic) {
      return {
        validation: { isValidating: true, reason: `the root comes signed; ${bogusName} is not known here` },
        isSure: true,
      };
    }
    return no(`${bogusName} is answered, though its signatures are wrong`, true);
  }
}
