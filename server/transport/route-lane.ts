/**
 * A line of attempts to one next hop: through the route's targets and their hosts until one takes the message. The
 * connection stays open for the next message.
 */
import type {
  Attempt,
  AttemptResult,
  NextHop,
  ReplyRules,
  SevenBitMessages,
  TransportLane,
} from '#server/mail/outbound-ports.ts';
import type { DirectTarget, Route, RouteTarget, SmtpTarget } from '#server/mail/outbound-routes.ts';
import type { Clock } from '#shared/base/clock.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { Breaker } from './breaker.ts';
import type { Endpoints } from './endpoints.ts';
import { mostHopeful, ownFailure, type Failure } from './failure.ts';
import { postMessage } from './http-post.ts';
import { fitMessage, type FittedMessage } from './fit-message.ts';
import { openSession, type OpenedSession, type SessionParts } from './open-session.ts';
import { cutBeforeAnything, failedOutcomes, settledOutcomes, untriedOutcomes } from './outcomes.ts';
import { orderTargets, targetName } from './target-order.ts';
import { waivesTlsPolicies } from './tls-waiver.ts';
import { transact, type TransactionResult } from './transaction.ts';

/** Messages over one connection; peers grow suspicious of more. */
const maxMessages = 100;
/** Sessions of one attempt: a domain with many dead hosts is tried again later. */
const maxSessions = 5;

export type LaneParts = SessionParts & {
  readonly endpoints: Endpoints;
  /** Targets of routes that failed. */
  readonly targets: Breaker;
  readonly rules: ReplyRules | null;
  /** For peers without 8BITMIME; null: what needs it is not sent to them. */
  readonly sevenBit: SevenBitMessages | null;
  readonly clock: Clock;
  readonly logger: Logger;
};

type Open = OpenedSession & {
  messages: number;
  needsReset: boolean;
  /** For a message that asked for no protection: others may ask for more. */
  readonly isTlsWaived: boolean;
};

export class RouteLane implements TransportLane {
  readonly #parts: LaneParts;
  readonly #hop: NextHop;
  readonly #route: () => Route | null;
  #open: Open | null = null;
  #idle: NodeJS.Timeout | undefined;
  readonly #stop = new AbortController();

  /** `route` gives the route as it is now; null: it is gone. */
  constructor(parts: LaneParts, hop: NextHop, route: () => Route | null) {
    this.#parts = parts;
    this.#hop = hop;
    this.#route = route;
  }

  get isOpen(): boolean {
    return this.#open?.session.isUsable === true && this.#open.messages < maxMessages;
  }

  async attempt(attempt: Attempt): Promise<AttemptResult> {
    clearTimeout(this.#idle);
    try {
      const result = await this.#try(attempt);
      this.#learn(result);
      return result;
    } finally {
      const { idleMs } = this.#parts.deadlines;
      this.#idle = setTimeout(() => void this.#close(), idleMs).unref();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#idle);
    this.#stop.abort();
    await this.#close();
  }

  async #try(attempt: Attempt): Promise<AttemptResult> {
    const startedAt = this.#parts.clock.monotonicMs();
    const elapsed = (): number => Math.round(this.#parts.clock.monotonicMs() - startedAt);
    const again = await this.#overOpenSession(attempt, elapsed);
    if (again) return again;
    const route = this.#route();
    if (!route)
      return failed(attempt, ownFailure('4.4.4', `there is no route ${this.#hop.route}`, 'policy'), elapsed());
    const failures: Failure[] = [];
    const targets = this.#targetsOf(route);
    for (const target of targets) {
      if (attempt.signal.aborted || !attempt.isLeaseValid()) return untriedOutcomes(attempt.recipients, elapsed());
      const result = await this.#throughTarget(attempt, target, failures, elapsed);
      const name = targetName(this.#hop.route, target);
      if (result) {
        this.#parts.targets.succeeded(name);
        return result;
      }
      // Hosts of a direct target fail each by itself.
      if (target.kind !== 'direct') this.#parts.targets.failed(name);
    }
    if (targets.length === 0) return this.#allResting(attempt, route, elapsed());
    return attempt.signal.aborted || this.#stop.signal.aborted
      ? untriedOutcomes(attempt.recipients, elapsed())
      : failed(attempt, mostHopeful(failures), elapsed());
  }

  /** Those whose breaker is open are left out. */
  #targetsOf(route: Route): readonly RouteTarget[] {
    const ordered = orderTargets(route.targets, this.#parts.random);
    return ordered.filter((target) => !this.#parts.targets.isOpen(targetName(this.#hop.route, target)));
  }

  #allResting(attempt: Attempt, route: Route, ms: number): AttemptResult {
    if (route.targets.length === 0) {
      const text = `the route ${route.name} can not be used; the server's log says why`;
      return failed(attempt, ownFailure('4.3.5', text, 'policy'), ms);
    }
    const rests = route.targets.map((target) => this.#parts.targets.restMs(targetName(this.#hop.route, target)));
    const text = `every target of the route ${route.name} has failed; they rest`;
    const result = failed(attempt, ownFailure('4.4.1', text, 'connection'), ms);
    return { ...result, pace: { kind: 'blocked', reason: text, forMs: Math.ceil(Math.min(...rests)) } };
  }

  /** Null: it failed, as `failures` say. */
  async #throughTarget(
    attempt: Attempt,
    target: RouteTarget,
    failures: Failure[],
    elapsed: () => number,
  ): Promise<AttemptResult | null> {
    switch (target.kind) {
      case 'direct':
      case 'smarthost':
      case 'lmtp':
        return this.#overSmtp(attempt, target, failures, elapsed);
      case 'http': {
        const result = await postMessage(target, attempt, this.#parts, elapsed);
        if ('outcomes' in result) return result;
        failures.push(result);
        return null;
      }
      case 'capture':
        failures.push(ownFailure('4.3.5', 'capture is no target among others', 'policy'));
        return null;
      default:
        return target satisfies never;
    }
  }

  async #overSmtp(
    attempt: Attempt,
    target: SmtpTarget | DirectTarget,
    failures: Failure[],
    elapsed: () => number,
  ): Promise<AttemptResult | null> {
    const { requiresTls } = attempt.message;
    const isTlsWaived = target.kind === 'direct' && (await waivesTlsPolicies(attempt.message));
    const signal = AbortSignal.any([attempt.signal, this.#stop.signal]);
    let sessions = 0;
    const wanted = { domain: this.#hop.domain, requiresTls, isTlsWaived, signal };
    for await (const next of this.#parts.endpoints.of(target, wanted)) {
      if (signal.aborted) return null;
      if ('failure' in next) this.#recordRefused(next);
      if (!('peers' in next)) {
        failures.push('failure' in next ? next.failure : next);
        continue;
      }
      if (sessions === maxSessions) break;
      sessions += 1;
      const opened = await openSession(this.#parts, next, this.#destination(next.host), signal);
      if (!('session' in opened)) {
        failures.push(opened);
        continue;
      }
      this.#open = { ...opened, messages: 0, needsReset: false, isTlsWaived };
      const result = await this.#transact(attempt, this.#open, elapsed);
      if ('outcomes' in result) return result;
      failures.push(result);
    }
    return null;
  }

  #recordRefused(refused: { readonly failure: Failure; readonly report: object; readonly result: string }): void {
    const { failure, report, result } = refused;
    const policy = report as Parameters<SessionParts['reports']['record']>[0];
    this.#parts.reports.record({
      ...policy,
      result,
      receivingMx: failure.host ?? '',
      receivingAddress: null,
      sendingAddress: null,
    });
  }

  #destination(host: string): string {
    return this.#hop.domain ?? host;
  }

  /** Null: there is none that fits, or it turned out to be dead before anything was said. */
  async #overOpenSession(attempt: Attempt, elapsed: () => number): Promise<AttemptResult | null> {
    const open = this.#open;
    if (!open) return null;
    const isProtected = !open.isTlsWaived || (await waivesTlsPolicies(attempt.message));
    if (!this.isOpen || this.#route() === null || !meetsRequireTls(attempt, open) || !isProtected) {
      await this.#close();
      return null;
    }
    const result = await this.#transact(attempt, open, elapsed);
    return 'outcomes' in result ? result : null;
  }

  /** A Failure: nothing was decided over this session, another may do. */
  async #transact(attempt: Attempt, open: Open, elapsed: () => number): Promise<AttemptResult | Failure> {
    const { recipients, signal } = attempt;
    const { session } = open;
    const now = this.#parts.clock.now();
    if (!meetsRequireTls(attempt, open)) {
      await this.#close();
      return { ...this.#where(open, '5.7.30', 'the peer does not offer REQUIRETLS over a verified connection', 'tls') };
    }
    const { extensions } = session;
    const { host, address, sourceAddress } = open;
    const facts = { host, address, sourceAddress, tls: session.tls, hasDsn: extensions.has('DSN') };
    let fitted: FittedMessage;
    try {
      fitted = await fitMessage(attempt.message, { extensions, now }, this.#parts.sevenBit);
    } catch (cause) {
      return settledOutcomes(
        recipients,
        recipients.map(() => ({ kind: 'given-up', cause })),
        facts,
        elapsed(),
      );
    }
    await using fit = fitted;
    const { message, unable } = fit;
    if (unable) {
      const failure = this.#where(open, unable.status, unable.text, unable.category);
      return failed(attempt, { ...failure, isAboutDestination: false }, elapsed());
    }
    const stop = (): void => session.destroy();
    signal.addEventListener('abort', stop, { once: true });
    let result: TransactionResult;
    try {
      const { isLeaseValid } = attempt;
      const { content } = message;
      const { needsReset } = open;
      result = await transact(session, { envelope: message, recipients, content, now, needsReset, isLeaseValid });
    } finally {
      signal.removeEventListener('abort', stop);
    }
    open.messages += 1;
    open.needsReset = result.needsReset;
    if (!session.isUsable) await this.#close();
    const cut = cutBeforeAnything(result);
    if (cut !== null && !signal.aborted) return this.#where(open, '4.4.2', cut, 'connection');
    return settledOutcomes(recipients, result.settled, facts, elapsed());
  }

  #where({ host, address, sourceAddress, session }: Open, status: string, text: string, category: string): Failure {
    return { ...ownFailure(status, text, category, { host, address, sourceAddress }), tls: session.tls };
  }

  /** A destination that blocks one of our addresses is spared from it, not from the others. */
  #learn({ outcomes }: AttemptResult): void {
    const { rules, rests } = this.#parts;
    for (const outcome of outcomes) {
      const { facts } = outcome;
      const { sourceAddress } = facts;
      if (sourceAddress === null || facts.host === null) continue;
      const destination = this.#destination(facts.host);
      if (outcome.kind === 'delivered') rests.clear(destination, sourceAddress);
      else if (outcome.kind !== 'captured' && rules?.classify(facts, this.#hop).action === 'block') {
        rests.block(destination, sourceAddress, facts.reply.text);
      }
    }
  }

  async #close(): Promise<void> {
    const open = this.#open;
    this.#open = null;
    await open?.session.close();
  }
}

/** RFC 8689 section 4.2.1: the certificate was verified, and the peer offers REQUIRETLS. */
function meetsRequireTls({ message }: Attempt, { session }: OpenedSession): boolean {
  return !message.requiresTls || (session.tls.isVerified && session.extensions.has('REQUIRETLS'));
}

function failed({ recipients }: Attempt, failure: Failure, ms: number): AttemptResult {
  return failedOutcomes(recipients, failure, ms);
}
