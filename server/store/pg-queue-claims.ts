/** What the SQL functions outbound_work and outbound_messages hand out, in binary: lanes, recipients and their messages. */
import { sql, type Kysely, type RawBuilder } from 'kysely';
import type { AccountId, BlobHash } from '#shared/base/ids.ts';
import type { CopiedRow } from '#shared/db/copy-out.ts';
import type { Database } from '#shared/db/schema.ts';
import type { OutboundMessage, QueueId, QueueRecipientId } from '#server/mail/outbound-ports.ts';
import type { InHand, LaneBatch, LaneToken, QueueLane } from '#server/mail/outbound-queue.ts';
import { readBool, readDate, readInt2, readInt4, readInt8, readText, readTid } from './binary-value.ts';
import { QueueContents } from './pg-queue-contents.ts';
import { parseNotify, toEnvelope, type EnvelopeRow } from './pg-queue-rows.ts';

/** The arguments of outbound_work. */
export type Work = {
  readonly worker: string;
  readonly lanes: number;
  readonly rows: number;
  readonly sinceSeconds: number;
  /** Lanes that go on. */
  readonly old: readonly QueueLane[];
};

/** A next hop that was looked at, or a lane that goes on. */
export type WorkedLane = {
  /** Null: it is a new one. */
  readonly old: LaneToken | null;
  /** Recipients; 0: there is no lane. */
  readonly taken: number;
  readonly batch: LaneBatch;
};

type RecipientRow = {
  readonly token: LaneToken;
  readonly messageId: bigint;
  readonly place: number;
  readonly recipient: InHand['recipient'];
  readonly wanted: string | null;
};

type StoredMessage = { readonly envelope: EnvelopeRow; readonly isInPieces: boolean };

export async function work(db: Kysely<Database>, wanted: Work): Promise<readonly WorkedLane[]> {
  const { rows } = await workStatement(wanted).execute(db);
  const recipients = rows.flatMap((row) => toRecipient(row) ?? []);
  const messages = await readMessages(db, [...new Set(recipients.map(({ messageId }) => messageId))]);
  // Little mail for many next hops is read in one query; else each lane reads its own as it comes to it.
  const shared = contentsOf(db, recipients, messages);
  const contents = (of: readonly RecipientRow[]): QueueContents =>
    shared.isOneGroup ? shared : contentsOf(db, of, messages);
  const byToken = Map.groupBy(recipients, ({ token }) => token);
  const known = new Map(wanted.old.map((lane) => [lane.token, lane]));
  return rows.flatMap((row): readonly WorkedLane[] => {
    const looked = toLane(row, known);
    if (looked === null) return [];
    const { old, taken, lane } = looked;
    const ofLane = byToken.get(lane.token) ?? [];
    return [{ old, taken, batch: { lane, inHand: toInHand(ofLane, messages, contents(ofLane)) } }];
  });
}

function workStatement({ worker, lanes, rows, sinceSeconds, old }: Work): RawBuilder<CopiedRow> {
  const marks = (at: 0 | 1 | 2): RawBuilder<unknown> => literalArray(old.map((lane) => lane.marks[at]));
  return sql<CopiedRow>`copy (
    select token, old_token, taken, route, domain, max_lanes, per_minute, blocked_times, high::text, normal::text, low::text,
        id, tid, message_id, address, notify, orcpt, attempts, crashes, delay_notices, first_attempt_at, wanted
      from outbound_work(${sql.lit(worker)}, ${sql.lit(lanes)}, ${sql.lit(rows)}, now() - make_interval(secs => ${sql.lit(sinceSeconds)}),
        ${literalArray(old.map(({ token }) => String(token)))}::int8[], ${marks(0)}::timestamptz[], ${marks(1)}::timestamptz[], ${marks(2)}::timestamptz[])
    ) to stdout (format binary)`;
}

/** COPY takes no parameters. */
function literalArray(items: readonly string[]): RawBuilder<unknown> {
  return sql`array[${sql.join(items.map((item) => sql.lit(item)))}]`;
}

const firstOfRecipient = 11;

/** Null: the row is a lane's. */
function toRecipient(row: CopiedRow): RecipientRow | null {
  const [id, tid, messageId, address, notify, orcpt, attempts, crashes, delayNotices, firstAttemptAt, wanted] =
    row.slice(firstOfRecipient);
  const [token] = row;
  if (!token || !id || !tid || !messageId || !address || !attempts || !crashes || !delayNotices) return null;
  return {
    token: readInt8(token) as LaneToken,
    messageId: readInt8(messageId),
    place: readTid(tid),
    wanted: wanted ? readText(wanted) : null,
    recipient: {
      id: readInt8(id) as QueueRecipientId,
      address: readText(address),
      notify: parseNotify(notify ? readText(notify) : null),
      orcpt: orcpt ? readText(orcpt) : null,
      attempts: readInt2(attempts),
      crashes: readInt2(crashes),
      firstAttemptAt: firstAttemptAt ? readDate(firstAttemptAt) : null,
      delayNotices: readInt2(delayNotices),
    },
  };
}

/** Null: the row is a recipient's. */
function toLane(
  row: CopiedRow,
  known: ReadonlyMap<LaneToken, QueueLane>,
): { readonly old: LaneToken | null; readonly taken: number; readonly lane: QueueLane } | null {
  const [tokenOf, oldOf, takenOf, route, domain, maxLanes, perMinute, blockedTimes, high, normal, low] = row;
  if (!tokenOf || !takenOf || !high || !normal || !low) return null;
  const token = readInt8(tokenOf) as LaneToken;
  const taken = readInt4(takenOf);
  const marks = [readText(high), readText(normal), readText(low)] as const;
  if (oldOf) {
    const old = readInt8(oldOf) as LaneToken;
    const lane = known.get(old);
    return lane ? { old, taken, lane: { ...lane, token, marks } } : null;
  }
  if (!route || !domain || !maxLanes || !blockedTimes) return null;
  const hop = { route: readText(route), domain: domain.length === 0 ? null : readText(domain) };
  const limits = { maxLanes: readInt2(maxLanes), perMinute: perMinute ? readInt4(perMinute) : null };
  return { old: null, taken, lane: { token, hop, ...limits, blockedTimes: readInt2(blockedTimes), marks } };
}

async function readMessages(db: Kysely<Database>, ids: readonly bigint[]): Promise<ReadonlyMap<bigint, StoredMessage>> {
  if (ids.length === 0) return new Map();
  const { rows } = await sql<CopiedRow>`copy (
    select * from outbound_messages(${sql.lit(`{${ids.join(',')}}`)})) to stdout (format binary)`.execute(db);
  return new Map(
    rows.map((row) => {
      const message = toStoredMessage(row);
      return [message.envelope.message_id, message];
    }),
  );
}

/** In the order of the columns of outbound_messages. */
function toStoredMessage(row: CopiedRow): StoredMessage {
  const value = (at: number): Buffer => row[at] ?? Buffer.alloc(0);
  const orNull = <T>(at: number, read: (value: Buffer) => T): T | null => {
    const found = row[at] ?? null;
    return found && read(found);
  };
  return {
    isInPieces: readBool(value(23)),
    envelope: {
      message_id: readInt8(value(0)),
      blob_hash: value(1),
      prefix: value(2),
      size: readInt8(value(3)),
      origin: readText(value(4)) as EnvelopeRow['origin'],
      account_id: orNull(5, readInt8) as AccountId | null,
      sender_domain: readText(value(6)),
      sender: readText(value(7)),
      return_path: orNull(8, readText),
      envid: orNull(9, readText),
      ret: orNull(10, readText) as EnvelopeRow['ret'],
      body: readText(value(11)) as EnvelopeRow['body'],
      smtputf8: readBool(value(12)),
      requiretls: readBool(value(13)),
      deliver_by: orNull(14, readDate),
      deliver_by_mode: orNull(15, readText) as EnvelopeRow['deliver_by_mode'],
      deliver_by_trace: readBool(value(16)),
      hold_until: orNull(17, readDate),
      priority: readInt2(value(18)),
      trace_id: readText(value(19)),
      header_message_id: orNull(20, readText),
      accepted_at: readDate(value(21)),
      expires_at: readDate(value(22)),
    },
  };
}

function contentsOf(
  db: Kysely<Database>,
  recipients: readonly RecipientRow[],
  stored: ReadonlyMap<bigint, StoredMessage>,
): QueueContents {
  const wanted = recipients.flatMap(({ messageId }) => {
    const message = stored.get(messageId);
    return message ? [{ ...blobOf(message), isInPieces: message.isInPieces }] : [];
  });
  return new QueueContents(db, wanted);
}

function toInHand(
  recipients: readonly RecipientRow[],
  stored: ReadonlyMap<bigint, StoredMessage>,
  contents: QueueContents,
): readonly InHand[] {
  const messages = new Map<bigint, OutboundMessage>();
  return recipients.flatMap(({ token, messageId, place, recipient, wanted }) => {
    const of = stored.get(messageId);
    // Messages stay as long as they have a recipient.
    if (of === undefined) return [];
    const message = messages.get(messageId) ?? toMessage(of, contents);
    messages.set(messageId, message);
    const isWanted = wanted === 'cancel' || wanted === 'cancel-quietly';
    return [{ token, message, recipient, expiresAt: of.envelope.expires_at, wanted: isWanted ? wanted : null, place }];
  });
}

function blobOf({ envelope }: StoredMessage): { readonly hash: BlobHash; readonly rawSize: number } {
  return {
    hash: envelope.blob_hash.toString('hex') as BlobHash,
    rawSize: Number(envelope.size) - envelope.prefix.length,
  };
}

function toMessage(message: StoredMessage, contents: QueueContents): OutboundMessage {
  const { envelope } = message;
  const { hash, rawSize } = blobOf(message);
  return {
    ...toEnvelope(envelope),
    id: envelope.message_id as QueueId,
    acceptedAt: envelope.accepted_at,
    content: contents.source(envelope.prefix, hash, rawSize),
  };
}
