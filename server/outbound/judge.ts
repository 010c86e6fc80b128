/**
 * What an outcome means for a recipient in hand: gone, tried again, or failed, and what its sender hears. Pure: time and
 * chance come from outside.
 */
import { unreachable } from '#shared/base/unreachable.ts';
import type { AttemptFacts, NextHop, Notice, RecipientOutcome, ReplyRules } from '#server/mail/outbound-ports.ts';
import type { InHand, Settlement } from '#server/mail/outbound-queue.ts';
import { nextAttempt } from './schedule.ts';

export type JudgeContext = {
  readonly now: Date;
  /** 0 to 1. */
  readonly random: number;
  readonly hop: NextHop;
  readonly rules: ReplyRules;
};

export type Judgement = {
  readonly settlement: Settlement;
  /** What the sender must hear in the same transaction; null: nothing. */
  readonly notice: Exclude<Notice['kind'], 'delayed'> | null;
};

/** Why a recipient fails without an attempt. */
export type Failure = {
  readonly outcome: 'expired' | 'suppressed' | 'cancelled';
  readonly reason: string;
  /** The sender hears nothing, whatever it asked for. */
  readonly isQuiet: boolean;
};

export function judge(inHand: InHand, outcome: RecipientOutcome, context: JudgeContext): Judgement {
  const { facts } = outcome;
  switch (outcome.kind) {
    case 'delivered':
      return {
        settlement: { ...settled(inHand, 'gone', 'delivered'), facts },
        notice: asksFor(inHand, 'success') && !outcome.isNotifyPassedOn ? 'relayed' : null,
      };
    case 'captured':
      return {
        settlement: { ...settled(inHand, 'captured', 'captured'), facts, reason: facts.reply.text },
        notice: null,
      };
    case 'not-tried':
      return { settlement: settled(inHand, 'untried', 'not-tried'), notice: null };
    case 'later':
    case 'never': {
      const { action, category } = context.rules.classify(facts, context.hop);
      const named = category === 'other' ? outcome.category : category;
      const isLater = action === 'as-is' ? outcome.kind === 'later' : action !== 'never';
      if (!isLater) return failed(inHand, { outcome: 'never', category: named, facts, reason: facts.reply.text });
      const notBefore = outcome.kind === 'later' ? outcome.notBefore : null;
      return putOff(inHand, facts, named, notBefore, context);
    }
    default:
      return unreachable(outcome);
  }
}

/** Of a recipient that is not tried any more. */
export function fail(inHand: InHand, { outcome, reason, isQuiet }: Failure): Judgement {
  const judgement = failed(inHand, { outcome, category: null, facts: null, reason });
  // What the administrator wants gone is gone, also where nobody can be told.
  const next = outcome === 'cancelled' ? 'gone' : judgement.settlement.next;
  return { settlement: { ...judgement.settlement, next }, notice: isQuiet ? null : judgement.notice };
}

/** Why it is not to be tried; null: it is. */
export function failureBefore(inHand: InHand, now: Date, suppressed: string | null): Failure | null {
  const { wanted, expiresAt, recipient } = inHand;
  if (wanted !== null) {
    return { outcome: 'cancelled', reason: 'cancelled by the administrator', isQuiet: wanted === 'cancel-quietly' };
  }
  if (suppressed !== null) return { outcome: 'suppressed', reason: suppressed, isQuiet: false };
  if (now < expiresAt) return null;
  const tries = recipient.attempts === 1 ? 'one attempt' : `${recipient.attempts} attempts`;
  return { outcome: 'expired', reason: `not delivered in time, after ${tries}`, isQuiet: false };
}

/** May its sender be told of a delay. */
export function wantsDelayNotice({ message, recipient }: InHand): boolean {
  if (message.sender === '' || message.origin === 'notice') return false;
  return recipient.notify === null || (recipient.notify !== 'never' && recipient.notify.includes('delay'));
}

function putOff(
  inHand: InHand,
  facts: AttemptFacts,
  category: string,
  notBefore: Date | null,
  { now, random }: JudgeContext,
): Judgement {
  const { expiresAt, recipient } = inHand;
  const due = nextAttempt({ now, attempts: recipient.attempts + 1, expiresAt, notBefore, random });
  if (due === null) return failed(inHand, { outcome: 'expired', category, facts, reason: facts.reply.text });
  const settlement = { ...settled(inHand, 'queued', 'later'), due, category, facts, reason: facts.reply.text };
  return { settlement, notice: null };
}

function failed(
  inHand: InHand,
  { outcome, category, facts, reason }: Pick<Settlement, 'outcome' | 'category' | 'facts' | 'reason'>,
): Judgement {
  const { message, recipient } = inHand;
  const settlement = { ...settled(inHand, 'gone', outcome), category, facts, reason };
  // RFC 5321 section 6.1: nobody can be told of it, so it is kept for the administrator.
  if (message.sender === '' || message.origin === 'notice') {
    return { settlement: { ...settlement, next: 'dead' }, notice: null };
  }
  return { settlement, notice: recipient.notify === null || asksFor(inHand, 'failure') ? 'failed' : null };
}

function asksFor({ message, recipient }: InHand, event: 'success' | 'failure'): boolean {
  const { notify } = recipient;
  return message.sender !== '' && notify !== null && notify !== 'never' && notify.includes(event);
}

function settled(inHand: InHand, next: Settlement['next'], outcome: string): Settlement {
  return { inHand, next, due: null, reason: null, outcome, category: null, facts: null };
}
