/**
 * One lane at work: batch after batch to one next hop over one connection, each message's outcomes written as soon as they
 * are known, until there is no more, the lane has had its time, or the next hop wants a rest.
 */
import type { Clock } from '#shared/base/clock.ts';
import type { Logger } from '#shared/observe/logger.ts';
import { MailError } from '#server/mail/mail-error.ts';
import {
  ownFacts,
  type OutboundMessage,
  type RecipientOutcome,
  type ReplyRules,
  type Suppression,
  type Transport,
  type TransportLane,
} from '#server/mail/outbound-ports.ts';
import type { InHand, LaneBatch, LaneReport, QueueLane, Settlement } from '#server/mail/outbound-queue.ts';
import type { IdleLanes } from './idle-lanes.ts';
import { fail, failureBefore, judge, wantsDelayNotice, type Judgement } from './judge.ts';
import type { Ledger } from './ledger.ts';
import type { NoticeDesk } from './notice-desk.ts';
import { hear, nothingHeard, type Heard } from './pace.ts';
import type { OutboundMetrics } from './outbound-metrics.ts';
import { queueName } from './queue-log.ts';
import { delayNoticeDue } from './schedule.ts';

export type LaneServices = {
  readonly ledger: Ledger;
  readonly desk: NoticeDesk;
  readonly transport: Transport;
  readonly rules: ReplyRules;
  readonly suppression: Suppression;
  readonly clock: Clock;
  readonly random: () => number;
  readonly logger: Logger;
  readonly metrics: OutboundMetrics;
};

export type LaneControl = {
  /** No further message is begun. */
  readonly stopping: AbortSignal;
  /** What is under way is cut off. */
  readonly abort: AbortSignal;
  readonly isLeaseValid: () => boolean;
  readonly idle: IdleLanes;
};

/** Others wait for the place, and what the next hop said is written when it is given back. */
const maxLaneMs = 10_000;
const maxRecipients = 100;
/** How long a connection waits for more. */
const lingerMs = 2_000;

/** Never rejects. */
export async function runLane(first: LaneBatch, services: LaneServices, control: LaneControl): Promise<void> {
  const run = new LaneRun(first.lane, services, control);
  try {
    await run.work(first);
  } catch (err) {
    const { route, domain } = first.lane.hop;
    services.logger.error({ event: 'queue.lane-failed', err, route, domain }, 'a lane of the queue failed');
  }
}

class LaneRun {
  readonly #services: LaneServices;
  readonly #control: LaneControl;
  readonly #transport: TransportLane;
  #lane: QueueLane;
  #heard: Heard = nothingHeard;
  /** What an attempt needs could not be read: others try later. */
  #isCutShort = false;

  constructor(lane: QueueLane, services: LaneServices, control: LaneControl) {
    this.#services = services;
    this.#control = control;
    this.#lane = lane;
    this.#transport = services.transport.openLane(lane.hop);
  }

  async work(first: LaneBatch): Promise<void> {
    const { clock, ledger } = this.#services;
    const end = clock.monotonicMs() + maxLaneMs;
    let isSettled = false;
    try {
      for (let batch: LaneBatch | null = first; batch !== null;) {
        this.#lane = batch.lane;
        await this.#workOff(batch.inHand);
        const isOver = this.#isResting || this.#lane.perMinute !== null || clock.monotonicMs() > end;
        batch = isOver ? null : await this.#next(end);
      }
      isSettled = true;
    } finally {
      await this.#transport[Symbol.asyncDispose]();
      const report: LaneReport = { lane: this.#lane, ...this.#heard, isSettled };
      await ledger.giveBack(report);
    }
  }

  get #isResting(): boolean {
    return (
      this.#isCutShort ||
      this.#heard.blockedMs !== null ||
      this.#control.stopping.aborted ||
      !this.#control.isLeaseValid()
    );
  }

  /** Waits for more, but not beyond the lane's `end`, by the monotonic clock. */
  async #next(end: number): Promise<LaneBatch | null> {
    const { clock, ledger } = this.#services;
    const { idle, stopping } = this.#control;
    try {
      const batch = await ledger.next(this.#lane);
      if (batch !== null || !this.#transport.isOpen) return batch;
      return await idle.wait(this.#lane, Math.min(lingerMs, end - clock.monotonicMs()), stopping);
    } catch (error) {
      // The lane is given back; should the batch be in hand all the same, the ledger finds it.
      if (error instanceof MailError) return null;
      throw error;
    }
  }

  /** When it resolves, every recipient is settled. */
  async #workOff(inHand: readonly InHand[]): Promise<void> {
    const suppressed = await this.#suppressed(inHand);
    if (suppressed === null) {
      await this.#services.ledger.settle(inHand.map((each) => judgeUntried(each)));
      return;
    }
    const failures: unknown[] = [];
    const settling: Promise<unknown>[] = [];
    for (const ofMessage of Map.groupBy(inHand, ({ message }) => message.id).values()) {
      for (let at = 0; at < ofMessage.length; at += maxRecipients) {
        const judged = await this.#judge(ofMessage.slice(at, at + maxRecipients), suppressed);
        settling.push(this.#settle(judged).catch((error: unknown) => failures.push(error)));
      }
    }
    await Promise.all(settling);
    if (failures.length > 0) throw failures[0];
  }

  async #judge(inHand: readonly InHand[], suppressed: ReadonlyMap<string, string>): Promise<readonly Judged[]> {
    const { clock } = this.#services;
    const now = clock.now();
    const judged: Judged[] = [];
    const wanted: InHand[] = [];
    for (const each of inHand) {
      const failure = failureBefore(each, now, suppressed.get(suppressionKey(each)) ?? null);
      if (failure === null) wanted.push(each);
      else judged.push({ inHand: each, outcome: null, ...fail(each, failure) });
    }
    const message = wanted[0]?.message;
    if (message === undefined) return judged;
    const outcomes = this.#isResting ? new Map<bigint, RecipientOutcome>() : await this.#attempt(message, wanted);
    for (const each of wanted) {
      const outcome = outcomes.get(each.recipient.id) ?? notTried(each);
      const { rules, random } = this.#services;
      const context = { now: clock.now(), random: random(), hop: this.#lane.hop, rules };
      judged.push({ inHand: each, outcome, ...judge(each, outcome, context) });
    }
    return judged;
  }

  async #attempt(message: OutboundMessage, inHand: readonly InHand[]): Promise<ReadonlyMap<bigint, RecipientOutcome>> {
    const { clock, metrics, logger, random } = this.#services;
    const { route } = this.#lane.hop;
    const startedAt = clock.monotonicMs();
    try {
      const { outcomes, pace } = await this.#transport.attempt({
        message,
        recipients: inHand.map(({ recipient }) => recipient),
        signal: this.#control.abort,
        isLeaseValid: this.#control.isLeaseValid,
      });
      this.#heard = hear(this.#heard, pace, this.#lane, random());
      return new Map(outcomes.map((outcome) => [outcome.recipientId, outcome]));
    } catch (err) {
      // A bug of ours: the message waits as after any other trouble, and those behind it go on.
      logger.error(
        { event: 'queue.attempt-failed', err, queue: queueName(message.id) },
        'an attempt failed by a fault of ours',
      );
      const ms = clock.monotonicMs() - startedAt;
      const facts = ownFacts('the attempt failed by a fault of ours: see the log', { status: '4.3.0', ms });
      return new Map(
        inHand.map(({ recipient: { id } }) => [
          id,
          { recipientId: id, kind: 'later', notBefore: null, category: 'internal', facts },
        ]),
      );
    } finally {
      metrics.outboundAttemptSeconds.observe({ route }, (clock.monotonicMs() - startedAt) / 1000);
    }
  }

  async #settle(judged: readonly Judged[]): Promise<void> {
    const { ledger, desk, suppression } = this.#services;
    await this.#tellDelay(judged);
    const quiet = judged.filter(({ notice }) => notice === null).map(({ settlement }) => settlement);
    const stale = await ledger.settle(quiet);
    for (const kind of ['failed', 'delivered', 'relayed', 'expanded'] as const) {
      const told = judged.filter(({ notice }) => notice === kind);
      if (told.length > 0) await desk.settle(kind, told);
    }
    for (const { inHand, settlement } of judged) this.#log(inHand, settlement, stale.has(inHand.recipient.id));
    await suppression.learn(
      judged.flatMap(({ inHand: { message, recipient }, outcome }) =>
        outcome ? [{ message, recipient, outcome }] : [],
      ),
    );
  }

  async #tellDelay(judged: readonly Judged[]): Promise<void> {
    const late = judged.filter(({ inHand, settlement }) => settlement.next === 'queued' && wantsDelayNotice(inHand));
    const message = late[0]?.inHand.message;
    if (message === undefined) return;
    const now = this.#services.clock.now();
    const due = Map.groupBy(late, ({ inHand }) =>
      delayNoticeDue(message.acceptedAt, now, inHand.recipient.delayNotices),
    );
    for (const [number, items] of due) if (number !== null) await this.#services.desk.tellDelay(items, number);
  }

  #log({ message, recipient }: InHand, settlement: Judgement['settlement'], isStale: boolean): void {
    if (settlement.next === 'untried') return;
    const { logger, metrics, clock } = this.#services;
    const { route } = this.#lane.hop;
    const { outcome, facts, category } = settlement;
    metrics.outboundOutcomes.inc({ route, outcome: isStale ? 'stale' : outcome });
    const hasFailed = outcome === 'never' || outcome === 'expired';
    if (hasFailed && !isStale && facts !== null) metrics.outboundBounces.inc({ category: category ?? 'other' });
    if (outcome === 'delivered') {
      metrics.outboundDeliverySeconds.observe({ route }, (clock.now().getTime() - message.acceptedAt.getTime()) / 1000);
    }
    logger.info(
      {
        event: `msg.${outcome}`,
        queue: queueName(message.id),
        message: message.traceId,
        to: recipient.address,
        attempt: recipient.attempts + 1,
        ...(category !== null && { category }),
        ...(facts && {
          host: facts.host,
          code: facts.reply.code,
          status: facts.reply.status,
          reply: facts.reply.text,
          ms: Math.round(facts.ms),
        }),
        ...(settlement.due && { next: settlement.due }),
        ...(isStale && { stale: true }),
      },
      'outbound recipient settled',
    );
  }

  /** Null: nobody can say now. */
  async #suppressed(inHand: readonly InHand[]): Promise<ReadonlyMap<string, string> | null> {
    try {
      return await this.#findSuppressed(inHand);
    } catch (error) {
      if (!(error instanceof MailError)) throw error;
      this.#isCutShort = true;
      return null;
    }
  }

  async #findSuppressed(inHand: readonly InHand[]): Promise<ReadonlyMap<string, string>> {
    const found = new Map<string, string>();
    for (const [domain, ofDomain] of Map.groupBy(inHand, ({ message }) => message.domain)) {
      const addresses = [...new Set(ofDomain.map(({ recipient }) => recipient.address))];
      for (const [address, reason] of await this.#services.suppression.suppressed(domain, addresses)) {
        found.set(`${domain} ${address}`, reason);
      }
    }
    return found;
  }
}

type Judged = Judgement & {
  readonly inHand: InHand;
  /** Null: it failed without an attempt. */
  readonly outcome: RecipientOutcome | null;
};

function suppressionKey({ message, recipient }: InHand): string {
  return `${message.domain} ${recipient.address}`;
}

function judgeUntried(inHand: InHand): Settlement {
  return { inHand, next: 'untried', due: null, reason: null, outcome: 'not-tried', category: null, facts: null };
}

function notTried({ recipient }: InHand): RecipientOutcome {
  const facts = ownFacts('not tried');
  return { recipientId: recipient.id, kind: 'not-tried', facts };
}
