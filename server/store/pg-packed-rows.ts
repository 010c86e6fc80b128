/**
 * Rows of messages for FETCH, packed by Postgres: a batch is one row, in which each column's values are joined. To take
 * it apart costs a fraction of what node-pg needs for a row a message.
 */
import { CompiledQuery, type Kysely } from 'kysely';
import type { AccountId, BlobHash, EmailId, MailboxId, Uid } from '#shared/base/ids.ts';
import type { Database } from '#shared/db/schema.ts';
import type { FetchWants } from '#server/mail/ports.ts';
import type { UidRange, UidSet } from '#server/mail/uid-set.ts';
import { int8Array } from './binary-array.ts';

/** Messages of a batch. */
const maxBatchRows = 1000;
/** Of ENVELOPE, BODYSTRUCTURE and part tables of one batch; a single message may have more. */
const maxBatchBytes = 4 * 1024 * 1024;
/** Of the bytes of messages that come with a batch where they are few, and so spare a client that waits a round trip. */
const maxRawBytes = 128 * 1024;
/** A header that comes with its batch; there are larger ones. */
const maxHeadBytes = 32 * 1024;
/** Ranges of one statement; the rest comes with the next. */
const maxRanges = 1000;

/** Values of the messages in the order of `uids`; only what was wanted is there. */
export type PackedRows = {
  readonly uids: readonly Uid[];
  /** Of each its two bytes of flags, four of modseq, and keywords, in hexadecimal; with the base of the modseq. */
  readonly states?: readonly string[];
  readonly modSeqBases?: readonly number[];
  /** The mailbox's, where any message has one. */
  readonly keywords?: readonly string[];
  readonly emailIds?: readonly EmailId[];
  /** Milliseconds since 1970. */
  readonly internalDates?: readonly number[];
  readonly sizes?: readonly number[];
  readonly envelopes?: readonly string[];
  readonly bodystructures?: readonly string[];
  readonly contents?: readonly PackedContent[];
};

export type PackedContent = {
  readonly prefix: Buffer;
  readonly parts: string;
  readonly hash: BlobHash;
  readonly rawSize: number;
  readonly isInPieces: boolean;
  /** From the beginning on, at least the header where that was wanted and is not large. Null: to be read. */
  readonly raw: Buffer | null;
};

type Row = Readonly<Record<string, string | Buffer | number | readonly string[] | null>>;

/** Batches of those of the messages that are there, ascending. */
export async function* readPackedRows(
  db: Kysely<Database>,
  place: { readonly accountId: AccountId; readonly mailboxId: MailboxId },
  uids: UidSet,
  wants: FetchWants,
): AsyncGenerator<PackedRows, void, void> {
  const text = textFor(wants);
  for (let rest = uids; rest.length > 0;) {
    const ranges = rest.slice(0, maxRanges);
    const { rows } = await db.executeQuery<Row>(
      CompiledQuery.raw(text, [
        int8Array(ranges.map(([first]) => first)),
        int8Array(ranges.map(([, last]) => last)),
        place.accountId,
        place.mailboxId,
      ]),
    );
    const row = rows[0] as Row;
    const count = row['count'] as number;
    if (count > 0) {
      const batch = unpack(row, wants);
      yield batch;
      const isWhole = count < maxBatchRows && (row['bytes'] as number) < maxBatchBytes;
      rest = isWhole ? rest.slice(ranges.length) : after(rest, batch.uids.at(-1) ?? 0);
    } else rest = rest.slice(ranges.length);
  }
}

/** The set's UIDs above `uid`. */
function after(set: UidSet, uid: number): UidSet {
  return set.flatMap(([first, last]): UidRange[] => (last <= uid ? [] : [[Math.max(first, uid + 1) as Uid, last]]));
}

const texts = new Map<number, string>();
const wantNames = [
  'flags',
  'emailId',
  'internalDate',
  'size',
  'envelope',
  'bodystructure',
  'headerFields',
  'content',
] as const;

/** The statement for a combination of wants, made once: there are 2^8. */
function textFor(wants: FetchWants): string {
  const key = wantNames.reduce((bits, name, place) => (wants[name] ? bits | (1 << place) : bits), 0);
  const known = texts.get(key) ?? makeText(wants);
  texts.set(key, known);
  return known;
}

function makeText(wants: FetchWants): string {
  const { name, aggregates, overAll, columns, tables } = columnsOf(wants);
  return `/*fetch${name}*/
    select count(*)::int4 as count, max(x.before + x.weight)::int4 as bytes, string_agg(x.uid::text, ',') as uids
      ${aggregates}
    from (
      select r.* from (
        select w.*, sum(w.weight) over (order by w.uid rows unbounded preceding) - w.weight as before ${overAll}
        from (
          select m.uid, ${columns} from unnest($1::int8[], $2::int8[]) g (first, last), lateral (
            select * from message
            where account_id = $3 and mailbox_id = $4 and uid between g.first and g.last
            order by uid limit ${maxBatchRows}) m ${tables}
          limit ${maxBatchRows}
        ) w
      ) r where r.before < ${maxBatchBytes} order by r.uid
    ) x`;
}

function columnsOf(wants: FetchWants) {
  const names: string[] = [];
  const columns: string[] = [];
  const aggregates: string[] = [''];
  const tables: string[] = [];
  const weights: string[] = [];
  let overAll = '';
  const join = (value: string, as: string): number => aggregates.push(`string_agg(${value}, ',') as ${as}`);
  if (wants.flags) {
    names.push('flags');
    tables.push(`, lateral (
      select flags, modseqs, keywords, base_modseq from mailbox_page
      where account_id = m.account_id and mailbox_id = m.mailbox_id and page = (m.uid >> 8)::int4 offset 0) p`);
    const slot = '(m.uid & 255)::int4';
    const width = '(length(p.keywords) / 256)';
    columns.push(
      `substring(p.flags from ${slot} * 2 + 1 for 2) || substring(p.modseqs from ${slot} * 4 + 1 for 4) ||
        coalesce(substring(p.keywords from ${slot} * ${width} + 1 for ${width}), '') as state`,
      'p.base_modseq',
      'p.keywords is not null as has_keywords',
      'm.account_id',
      'm.mailbox_id',
    );
    join(`encode(x.state, 'hex')`, 'states');
    join('x.base_modseq::text', 'bases');
    aggregates.push(`case when bool_or(x.has_keywords) then (
      select b.keywords from mailbox b where b.account_id = max(x.account_id) and b.id = max(x.mailbox_id)) end as keywords`);
  }
  if (wants.emailId) {
    names.push('email');
    columns.push('m.email_id');
    join('x.email_id::text', 'email_ids');
  }
  if (wants.internalDate) {
    names.push('date');
    columns.push('m.internal_date');
    join(`(extract(epoch from x.internal_date) * 1000)::int8::text`, 'dates');
  }
  if (wants.size) {
    names.push('size');
    columns.push('m.size');
    join('x.size::text', 'sizes');
  }
  const isBlobRead = wants.content === true || wants.headerFields !== undefined;
  const isEmailRead = wants.envelope === true || wants.bodystructure === true || isBlobRead;
  // OFFSET 0: looked up one by one whatever the statistics say, which know nothing of mail that has just come.
  if (isEmailRead) {
    tables.push(', lateral (select * from email where account_id = m.account_id and id = m.email_id offset 0) e');
  }
  for (const want of ['envelope', 'bodystructure'] as const) {
    if (wants[want] !== true) continue;
    names.push(want);
    columns.push(`e.${want}`);
    weights.push(`octet_length(e.${want})`);
    join(`octet_length(x.${want})::text`, `${want}_lengths`);
    aggregates.push(`string_agg(x.${want}, '') as ${want}`);
  }
  if (isBlobRead) {
    const blob = blobColumnsOf(wants);
    names.push(blob.name);
    columns.push(...blob.columns);
    weights.push(...blob.weights);
    tables.push(blob.table);
    aggregates.push(...blob.aggregates);
    overAll = blob.overAll;
  }
  return {
    name: names.map((name) => `-${name}`).join(''),
    columns: [...columns, `${['0', ...weights].join(' + ')} as weight`].join(', '),
    aggregates: aggregates.join(',\n'),
    tables: tables.join(''),
    overAll,
  };
}

/** Of whole messages, or of their headers. */
function blobColumnsOf({ content }: FetchWants) {
  const columns = ['e.prefix', 'e.parts', 'e.blob_hash', 'b.size as raw_size', 'b.in_pieces'];
  const weights = ['octet_length(e.parts)', 'octet_length(e.prefix)'];
  const aggregates = [
    `string_agg(octet_length(x.prefix)::text, ',') as prefix_lengths`,
    `string_agg(x.prefix, '') as prefix`,
    `string_agg(octet_length(x.parts)::text, ',') as parts_lengths`,
    `string_agg(x.parts, '') as parts`,
    `string_agg(x.blob_hash, '') as hash`,
    `string_agg(x.raw_size::text, ',') as raw_sizes`,
    `string_agg(x.in_pieces::int4::text, ',') as in_pieces`,
  ];
  if (content === true) {
    return {
      name: 'content',
      columns: [...columns, 'b.raw'],
      weights,
      table: ', lateral (select size, raw, raw is null as in_pieces from blob where hash = e.blob_hash offset 0) b',
      aggregates: [...aggregates, `string_agg(case when x.all_raw <= ${maxRawBytes} then x.raw end, '') as raw`],
      overAll: ', sum(w.raw_size) over () as all_raw',
    };
  }
  // How long a header is stands at the beginning of its part table: where it begins, and its bytes.
  const bytes = `(split_part(substring(e.parts from 2), ',', 1)::int4 + split_part(e.parts, ',', 2)::int4)`;
  return {
    name: 'header',
    columns: [...columns, 'b.head'],
    weights: [...weights, 'coalesce(octet_length(b.head), 0)'],
    table: `, lateral (
      select size, raw is null as in_pieces, case when ${bytes} <= ${maxHeadBytes} then substring(raw for ${bytes}) end as head
      from blob where hash = e.blob_hash offset 0) b`,
    aggregates: [
      ...aggregates,
      `string_agg(coalesce(octet_length(x.head), -1)::text, ',') as head_lengths`,
      `string_agg(x.head, '') as raw`,
    ],
    overAll: '',
  };
}

function unpack(row: Row, wants: FetchWants): PackedRows {
  return {
    uids: numbersOf(row['uids']) as Uid[],
    ...(wants.flags && {
      states: (row['states'] as string).split(','),
      modSeqBases: numbersOf(row['bases']),
      keywords: (row['keywords'] ?? []) as readonly string[],
    }),
    ...(wants.emailId && { emailIds: (row['email_ids'] as string).split(',').map((id) => BigInt(id) as EmailId) }),
    ...(wants.internalDate && { internalDates: numbersOf(row['dates']) }),
    ...(wants.size && { sizes: numbersOf(row['sizes']) }),
    ...(wants.envelope && { envelopes: textsOf(row, 'envelope') }),
    ...(wants.bodystructure && { bodystructures: textsOf(row, 'bodystructure') }),
    ...((wants.content === true || wants.headerFields) && { contents: contentsOf(row) }),
  };
}

function numbersOf(joined: Row[string] | undefined): number[] {
  return (joined as string).split(',').map(Number);
}

/** Lengths count bytes of UTF-8, which in ASCII are those of the string. */
function textsOf(row: Row, column: string): readonly string[] {
  const text = row[column] as string;
  const lengths = numbersOf(row[`${column}_lengths`]);
  const bytes = lengths.reduce((sum, length) => sum + length, 0);
  let at = 0;
  if (bytes === text.length) return lengths.map((length) => text.slice(at, (at += length)));
  return slices(Buffer.from(text), lengths).map((slice) => slice.toString());
}

function slices(bytes: Buffer, lengths: readonly number[]): readonly Buffer[] {
  let at = 0;
  return lengths.map((length) => bytes.subarray(at, (at += length)));
}

const hashBytes = 32;

function contentsOf(row: Row): readonly PackedContent[] {
  const parts = textsOf(row, 'parts');
  const prefixes = slices(row['prefix'] as Buffer, numbersOf(row['prefix_lengths']));
  const rawSizes = numbersOf(row['raw_sizes']);
  const inPieces = (row['in_pieces'] as string).split(',').map((digit) => digit === '1');
  const hashes = (row['hash'] as Buffer).toString('hex');
  const raws = rawsOf(row, rawSizes);
  return parts.map((part, i) => ({
    prefix: prefixes[i] as Buffer,
    parts: part,
    hash: hashes.slice(i * hashBytes * 2, (i + 1) * hashBytes * 2) as BlobHash,
    rawSize: rawSizes[i] ?? 0,
    isInPieces: inPieces[i] === true,
    raw: raws?.[i] ?? null,
  }));
}

/** What came along: of all messages or of none, where whole ones are wanted; messages in pieces are far larger than that. */
function rawsOf(row: Row, rawSizes: readonly number[]): readonly (Buffer | null)[] | null {
  if (row['raw'] === null) return null;
  if (row['head_lengths'] === undefined) return slices(row['raw'] as Buffer, rawSizes);
  const lengths = numbersOf(row['head_lengths']);
  const heads = slices(
    row['raw'] as Buffer,
    lengths.map((length) => Math.max(0, length)),
  );
  return heads.map((head, i) => ((lengths[i] ?? -1) < 0 ? null : head));
}
