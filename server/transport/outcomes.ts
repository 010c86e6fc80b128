/** From what the peer said to what becomes of each recipient. Pure. */
import {
  ownFacts,
  type AttemptFacts,
  type AttemptResult,
  type OutboundRecipient,
  type OutboundReply,
  type Pace,
  type RecipientOutcome,
  type TlsFacts,
} from '#server/mail/outbound-ports.ts';
import { factsOf, type Failure } from './failure.ts';
import { toOutboundReply, type Reply } from './smtp-reply.ts';
import type { Settled, Stage, TransactionResult } from './transaction.ts';

export type SessionFacts = {
  readonly host: string;
  readonly address: string;
  readonly sourceAddress: string | null;
  readonly tls: TlsFacts;
  /** RFC 3461: the peer takes over the duty to notify. */
  readonly hasDsn: boolean;
};

export function settledOutcomes(
  recipients: readonly OutboundRecipient[],
  settled: readonly Settled[],
  session: SessionFacts,
  ms: number,
): AttemptResult {
  const outcomes = recipients.map((recipient, i): RecipientOutcome => {
    const each = settled[i];
    if (!each) throw new Error('a recipient without an outcome');
    return outcomeOf(recipient, each, session, ms);
  });
  return { outcomes, pace: paceOf(settled) };
}

function outcomeOf(
  recipient: OutboundRecipient,
  settled: Settled,
  session: SessionFacts,
  ms: number,
): RecipientOutcome {
  const recipientId = recipient.id;
  const facts = (reply: OutboundReply, isUncertain: boolean): AttemptFacts => ({
    reply,
    host: session.host,
    address: session.address,
    sourceAddress: session.sourceAddress,
    tls: session.tls,
    ms,
    isUncertain,
  });
  switch (settled.kind) {
    case 'given-up': {
      const text = settled.cause instanceof Error ? settled.cause.message : 'given up';
      return { kind: 'not-tried', recipientId, facts: facts({ code: null, status: null, text }, false) };
    }
    case 'fault': {
      const reply = { code: null, status: '4.4.2', text: settled.fault.message };
      return {
        kind: 'later',
        recipientId,
        facts: facts(reply, settled.isUncertain),
        notBefore: null,
        category: 'connection',
      };
    }
    case 'reply': {
      const reply = toOutboundReply(settled.reply);
      const own = facts(reply, false);
      const verdict = judge(settled.reply, settled.stage);
      if (verdict === 'delivered') return { kind: verdict, recipientId, facts: own, isNotifyPassedOn: session.hasDsn };
      if (verdict === 'never') return { kind: verdict, recipientId, facts: own, category: 'other' };
      return { kind: verdict, recipientId, facts: own, notBefore: null, category: 'other' };
    }
    default:
      return settled satisfies never;
  }
}

function judge({ code }: Reply, stage: Stage): 'delivered' | 'later' | 'never' {
  if (code < 300) return stage === 'end' ? 'delivered' : 'later';
  if (code < 500) return 'later';
  // RFC 5321 section 4.5.3.1.10: "too many recipients" in the words of old servers.
  return code === 552 && stage === 'rcpt' ? 'later' : 'never';
}

function paceOf(settled: readonly Settled[]): Pace {
  const isTaken = settled.some((each) => each.kind === 'reply' && each.stage === 'end' && each.reply.code < 300);
  if (isTaken) return { kind: 'good' };
  for (const each of settled) {
    if (each.kind === 'fault') return { kind: 'slower', reason: each.fault.message };
    if (each.kind !== 'reply') continue;
    const { code } = each.reply;
    // What is said of a recipient is about the recipient; the rest is about us.
    const isAboutUs = code === 421 || (code < 500 && each.stage !== 'rcpt');
    if (isAboutUs) return { kind: 'slower', reason: toOutboundReply(each.reply).text };
  }
  return { kind: 'same' };
}

/** All recipients share it. `isCounted` false: it is about the message, not about the destination. */
export function failedOutcomes(recipients: readonly OutboundRecipient[], failure: Failure, ms: number): AttemptResult {
  const facts = factsOf(failure, ms);
  const outcomes = recipients.map(({ id: recipientId }): RecipientOutcome => {
    const { category } = failure;
    return failure.isPermanent
      ? { kind: 'never', recipientId, facts, category }
      : { kind: 'later', recipientId, facts, notBefore: null, category };
  });
  const isBlocked = failure.isAboutDestination && !failure.isPermanent;
  return {
    outcomes,
    pace: isBlocked ? { kind: 'blocked', reason: failure.reply.text, forMs: null } : { kind: 'same' },
  };
}

/** The session ended, or was ended with 421, before the peer had judged anybody: why. Null: it was not so. */
export function cutBeforeAnything({ settled }: TransactionResult): string | null {
  const [first] = settled;
  if (first?.kind === 'fault' && !first.isUncertain && settled.every((each) => each === first))
    return first.fault.message;
  if (first?.kind !== 'reply' || first.reply.code !== 421 || first.stage === 'end') return null;
  return settled.every((each) => each === first) ? `the peer closes: 421 ${first.reply.lines.join(' ')}` : null;
}

/** Nothing was sent to anybody: given back as they were. */
export function untriedOutcomes(recipients: readonly OutboundRecipient[], ms: number): AttemptResult {
  const facts = ownFacts('stopped before anything was sent', { ms });
  const outcomes = recipients.map(({ id: recipientId }): RecipientOutcome => ({
    kind: 'not-tried',
    recipientId,
    facts,
  }));
  return { outcomes, pace: { kind: 'same' } };
}
