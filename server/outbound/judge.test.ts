import { expect, test } from 'vitest';
import type {
  AttemptFacts,
  OutboundMessage,
  OutboundRecipient,
  RecipientOutcome,
  ReplyRules,
} from '#server/mail/outbound-ports.ts';
import type { InHand } from '#server/mail/outbound-queue.ts';
import { fail, failureBefore, judge } from './judge.ts';

const now = new Date('2026-03-10T12:00:00Z');
const asIs: ReplyRules = { classify: () => ({ action: 'as-is', category: 'other' }) };

const facts: AttemptFacts = {
  reply: { code: 550, status: '5.1.1', text: 'no such user' },
  host: 'mx.there.test',
  address: '192.0.2.1',
  sourceAddress: null,
  tls: null,
  ms: 5,
  isUncertain: false,
};

function inHand(message: Partial<OutboundMessage> = {}, recipient: Partial<OutboundRecipient> = {}): InHand {
  return {
    token: 7n,
    message: { sender: 'ann@ours.test', origin: 'submission', acceptedAt: now, ...message },
    recipient: { id: 1n, address: 'bob@there.test', notify: null, attempts: 0, delayNotices: 0, ...recipient },
    expiresAt: new Date(now.getTime() + 3600_000),
    wanted: null,
  } as InHand;
}

function verdict(each: InHand, outcome: Partial<RecipientOutcome>, rules = asIs, at = now) {
  const full = {
    recipientId: each.recipient.id,
    facts,
    category: 'other',
    notBefore: null,
    isNotifyPassedOn: false,
    ...outcome,
  };
  const { settlement, notice } = judge(each, full, {
    now: at,
    random: 0.5,
    hop: { route: 'direct', domain: 'there.test' },
    rules,
  });
  return [settlement.next, settlement.outcome, notice];
}

test.each([
  ['delivered', inHand(), { kind: 'delivered' }, ['gone', 'delivered', null]],
  [
    'delivered, success asked for',
    inHand({}, { notify: ['success'] }),
    { kind: 'delivered' },
    ['gone', 'delivered', 'relayed'],
  ],
  [
    'delivered, the peer tells',
    inHand({}, { notify: ['success'] }),
    { kind: 'delivered', isNotifyPassedOn: true },
    ['gone', 'delivered', null],
  ],
  ['captured', inHand(), { kind: 'captured' }, ['captured', 'captured', null]],
  ['not tried', inHand(), { kind: 'not-tried' }, ['untried', 'not-tried', null]],
  ['later', inHand(), { kind: 'later' }, ['queued', 'later', null]],
  ['never', inHand(), { kind: 'never' }, ['gone', 'never', 'failed']],
  ['never, failure asked for', inHand({}, { notify: ['failure'] }), { kind: 'never' }, ['gone', 'never', 'failed']],
  ['never, only success asked for', inHand({}, { notify: ['success'] }), { kind: 'never' }, ['gone', 'never', null]],
  ['never, NOTIFY=NEVER', inHand({}, { notify: 'never' }), { kind: 'never' }, ['gone', 'never', null]],
  ['never, from <>: nobody to tell', inHand({ sender: '' }), { kind: 'never' }, ['dead', 'never', null]],
  ['never, a report of ours', inHand({ origin: 'notice' }), { kind: 'never' }, ['dead', 'never', null]],
] as const)('%s', (_, each, outcome, expected) => {
  expect(verdict(each, outcome as Partial<RecipientOutcome>)).toEqual(expected);
});

test('what was put off past its time has expired', () => {
  expect(verdict(inHand(), { kind: 'later' }, asIs, new Date(now.getTime() + 3600_000))).toEqual([
    'gone',
    'expired',
    'failed',
  ]);
});

test.each([
  ['a final refusal that is temporary', 'never', 'later', ['queued', 'later', null]],
  ['a temporary one that is final', 'later', 'never', ['gone', 'never', 'failed']],
  ['a block', 'never', 'block', ['queued', 'later', null]],
] as const)('by the rule file: %s', (_, kind, action, expected) => {
  const rules: ReplyRules = { classify: () => ({ action, category: 'policy' }) };
  expect(verdict(inHand(), { kind }, rules)).toEqual(expected);
});

test('before an attempt: cancelled, suppressed, expired, else none', () => {
  const late = new Date(now.getTime() + 3600_000);
  expect(failureBefore(inHand(), now, null)).toBeNull();
  expect(failureBefore(inHand(), late, null)?.outcome).toBe('expired');
  expect(failureBefore(inHand(), now, 'hard bounce')).toMatchObject({ outcome: 'suppressed', reason: 'hard bounce' });
  const quiet = { ...inHand(), wanted: 'cancel-quietly' as const };
  const failure = failureBefore(quiet, now, null);
  expect(failure && fail(quiet, failure)).toMatchObject({
    settlement: { next: 'gone', outcome: 'cancelled' },
    notice: null,
  });
  const told = { ...inHand(), wanted: 'cancel' as const };
  const toTell = failureBefore(told, now, null);
  expect(toTell && fail(told, toTell)).toMatchObject({ settlement: { next: 'gone' }, notice: 'failed' });
});
