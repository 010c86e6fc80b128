/** Rows of the outbound queue as the ports know them, and back. */
import { sql } from 'kysely';
import type { AccountId } from '#shared/base/ids.ts';
import type { Notify, OutboundEnvelope } from '#server/mail/outbound-ports.ts';
import type { Settlement } from '#server/mail/outbound-queue.ts';
import { boolArray, int4Array, int8Array, textArray, timestampArray } from './binary-array.ts';

/** The columns of outbound_message, as they are, with the blob's size. */
export type EnvelopeRow = {
  readonly message_id: bigint;
  readonly blob_hash: Buffer;
  readonly prefix: Buffer;
  readonly size: bigint;
  readonly origin: OutboundEnvelope['origin'];
  readonly account_id: AccountId | null;
  readonly sender_domain: string;
  readonly sender: string;
  readonly return_path: string | null;
  readonly envid: string | null;
  readonly ret: OutboundEnvelope['ret'];
  readonly body: OutboundEnvelope['body'];
  readonly smtputf8: boolean;
  readonly requiretls: boolean;
  readonly deliver_by: Date | null;
  readonly deliver_by_mode: 'return' | 'notify' | null;
  readonly deliver_by_trace: boolean;
  readonly hold_until: Date | null;
  readonly priority: number;
  readonly trace_id: string;
  readonly header_message_id: string | null;
  readonly accepted_at: Date;
  readonly expires_at: Date;
};

export const envelopeColumns = sql`m.id as message_id, m.blob_hash, m.prefix, m.size, m.origin, m.account_id,
  m.domain as sender_domain, m.sender, m.return_path, m.envid, m.ret, m.body, m.smtputf8, m.requiretls, m.deliver_by,
  m.deliver_by_mode, m.deliver_by_trace, m.hold_until, m.priority, m.trace_id, m.message_id as header_message_id,
  m.accepted_at, m.expires_at`;

export function toEnvelope(row: EnvelopeRow): OutboundEnvelope {
  const { deliver_by: at, deliver_by_mode: mode } = row;
  return {
    origin: row.origin,
    accountId: row.account_id,
    domain: row.sender_domain,
    sender: row.sender,
    returnPath: row.return_path,
    envid: row.envid,
    ret: row.ret,
    body: row.body,
    isSmtpUtf8: row.smtputf8,
    requiresTls: row.requiretls,
    deliverBy: at !== null && mode !== null ? { at, mode, isTraced: row.deliver_by_trace } : null,
    holdUntil: row.hold_until,
    priority: row.priority,
    traceId: row.trace_id,
    messageId: row.header_message_id,
  };
}

export function formatNotify(notify: Notify | null): string | null {
  return typeof notify === 'string' || notify === null ? notify : notify.join(' ');
}

export function parseNotify(text: string | null): Notify | null {
  if (text === null || text === 'never') return text;
  return text.split(' ') as ('success' | 'failure' | 'delay')[];
}

/** The arguments of outbound_settle. */
export type EncodedSettlements = readonly unknown[];

export function encodeSettlements(
  settlements: readonly Settlement[],
  { isStrict }: { readonly isStrict: boolean },
): EncodedSettlements {
  const text = (of: (each: Settlement) => string | null | undefined): Buffer =>
    textArray(settlements.map((each) => cleanText(of(each) ?? null)));
  const number = (of: (each: Settlement) => number | null | undefined): Buffer =>
    int4Array(settlements.map((each) => of(each) ?? null));
  const facts = settlements.map((each) => each.facts);
  return [
    int8Array(settlements.map(({ inHand }) => inHand.token)),
    int8Array(settlements.map(({ inHand }) => inHand.recipient.id)),
    int8Array(settlements.map(({ inHand }) => inHand.message.id)),
    text(({ inHand }) => inHand.recipient.address),
    number(({ inHand }) => inHand.recipient.attempts + 1),
    text(({ next }) => next),
    timestampArray(settlements.map(({ due }) => due)),
    text(({ reason }) => reason),
    text(({ outcome }) => outcome),
    text(({ category }) => category),
    boolArray(facts.map((each) => each?.isUncertain ?? false)),
    number((each) => each.facts?.reply.code),
    text((each) => each.facts?.reply.status),
    text((each) => each.facts?.reply.text),
    text((each) => each.facts?.host),
    text((each) => each.facts?.address),
    text((each) => each.facts?.sourceAddress),
    text((each) => each.facts?.tls?.version),
    text((each) => each.facts?.tls?.cipher),
    text((each) => each.facts?.tls?.policy),
    boolArray(facts.map((each) => each?.tls?.isVerified ?? null)),
    text((each) => each.facts?.tls?.result),
    number((each) => (each.facts ? Math.round(each.facts.ms) : null)),
    isStrict,
  ];
}

const settleTypes =
  'int8 int8 int8 text int4 text timestamptz text text text bool int4 text text text text text text text text bool text int4';
const settleArguments = settleTypes.split(' ').map((type, at) => `$${at + 1}::${type}[]`);

export const settleStatement = {
  name: 'outbound-settle',
  text: `/*outbound-settle*/ select outbound_settle(${settleArguments.join(', ')}, $${settleArguments.length + 1}::bool) as stale`,
};

/** A peer chose it: bounded, and without what Postgres has no place for in text. */
export function cleanText(text: string | null): string | null {
  return text === null ? null : text.slice(0, 1000).replaceAll('\0', '').toWellFormed();
}
