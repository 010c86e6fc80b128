/** Rows of the outbound queue as the ports know them, and back. */
import { sql, type Kysely } from 'kysely';
import type { AccountId, BlobHash } from '#shared/base/ids.ts';
import type { Database } from '#shared/db/schema.ts';
import type {
  Notify,
  OutboundEnvelope,
  OutboundMessage,
  OutboundRecipient,
  QueueId,
  QueueRecipientId,
} from '#server/mail/outbound-ports.ts';
import type { InHand, LaneToken, Settlement } from '#server/mail/outbound-queue.ts';
import { boolArray, int4Array, int8Array, textArray, timestampArray } from './binary-array.ts';
import { QueueContents } from './pg-queue-contents.ts';

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

export type InHandRow = EnvelopeRow & {
  readonly token: bigint;
  readonly in_pieces: boolean | null;
  readonly recipient_id: bigint;
  readonly address: string;
  readonly notify: string | null;
  readonly orcpt: string | null;
  readonly attempts: number;
  readonly crashes: number;
  readonly delay_notices: number;
  readonly first_attempt_at: Date | null;
  readonly wanted: 'hold' | 'cancel' | 'cancel-quietly' | null;
};

export const envelopeColumns = sql`m.id as message_id, m.blob_hash, m.prefix, m.size, m.origin, m.account_id,
  m.domain as sender_domain, m.sender, m.return_path, m.envid, m.ret, m.body, m.smtputf8, m.requiretls, m.deliver_by,
  m.deliver_by_mode, m.deliver_by_trace, m.hold_until, m.priority, m.trace_id, m.message_id as header_message_id,
  m.accepted_at, m.expires_at`;

/** The recipients of the lanes' batches, in the order in which they were taken. */
export async function readInHand(
  db: Kysely<Database>,
  tokens: readonly LaneToken[],
): Promise<ReadonlyMap<LaneToken, readonly InHand[]>> {
  const { rows } = await sql<InHandRow>`/*read-in-hand*/
    select l.token, r.id as recipient_id, r.address, r.notify, r.orcpt, r.attempts, r.crashes, r.delay_notices,
        r.first_attempt_at, r.wanted, ${envelopeColumns}, b.raw is null as in_pieces
      from unnest(${tokens}::int8[]) with ordinality w (token, lane)
      join outbound_lane l on l.token = w.token
      cross join unnest(l.recipient_ids) with ordinality i (id, place)
      join outbound_recipient r on r.id = i.id and r.lease = l.token
      join outbound_message m on m.id = r.message_id
      left join blob b on b.hash = m.blob_hash
      order by w.lane, i.place`.execute(db);
  return toInHand(db, rows);
}

function toInHand(db: Kysely<Database>, rows: readonly InHandRow[]): ReadonlyMap<LaneToken, readonly InHand[]> {
  const inHand = new Map<LaneToken, readonly InHand[]>();
  for (const [token, ofLane] of Map.groupBy(rows, (row) => row.token as LaneToken)) {
    const contents = new QueueContents(
      db,
      ofLane.map((row) => ({
        hash: row.blob_hash.toString('hex') as BlobHash,
        rawSize: Number(row.size) - row.prefix.length,
        isInPieces: row.in_pieces === true,
      })),
    );
    const messages = new Map<bigint, OutboundMessage>();
    for (const row of ofLane) {
      if (!messages.has(row.message_id)) messages.set(row.message_id, toMessage(row, contents));
    }
    inHand.set(
      token,
      ofLane.map((row) => ({
        token,
        message: messages.get(row.message_id) as OutboundMessage,
        recipient: toRecipient(row),
        expiresAt: row.expires_at,
        wanted: row.wanted === 'hold' ? null : row.wanted,
      })),
    );
  }
  return inHand;
}

function toMessage(row: EnvelopeRow, contents: QueueContents): OutboundMessage {
  return {
    ...toEnvelope(row),
    id: row.message_id as QueueId,
    acceptedAt: row.accepted_at,
    content: contents.source(
      row.prefix,
      row.blob_hash.toString('hex') as BlobHash,
      Number(row.size) - row.prefix.length,
    ),
  };
}

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

function toRecipient(row: InHandRow): OutboundRecipient {
  return {
    id: row.recipient_id as QueueRecipientId,
    address: row.address,
    notify: parseNotify(row.notify),
    orcpt: row.orcpt,
    attempts: row.attempts,
    crashes: row.crashes,
    firstAttemptAt: row.first_attempt_at,
    delayNotices: row.delay_notices,
  };
}

export function formatNotify(notify: Notify | null): string | null {
  return typeof notify === 'string' || notify === null ? notify : notify.join(' ');
}

function parseNotify(text: string | null): Notify | null {
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
    textArray(settlements.map((each) => clean(of(each) ?? null)));
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
function clean(text: string | null): string | null {
  return text === null ? null : text.slice(0, 1000).replaceAll('\0', '').toWellFormed();
}
