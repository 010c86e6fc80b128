/** Columns of messages, in batches bounded in bytes: what FETCH sends as it is stored, and SEARCH looks at. */
import { sql, type Kysely } from 'kysely';
import type { AccountId, BlobHash, EmailId, MailboxId } from '#shared/base/ids.ts';
import type { Database } from '#shared/db/schema.ts';
import type { FetchWants } from '#server/mail/ports.ts';
import { int8Array } from './binary-array.ts';

/** Of ENVELOPE, BODYSTRUCTURE and part tables of one query; a single row may have more. */
const maxBatchBytes = 4 * 1024 * 1024;

export type RowWants = Omit<FetchWants, 'flags'> & { readonly sentDay?: boolean };

/** A message's columns; only what was wanted is there. */
export type MessageRow = {
  readonly uid: bigint;
  readonly email_id: EmailId;
  readonly internal_date?: Date;
  readonly size?: bigint;
  readonly envelope?: string;
  readonly bodystructure?: string;
  readonly sent_day?: string | null;
  readonly prefix?: Buffer;
  readonly parts?: string;
  readonly hash?: BlobHash;
  readonly raw_size?: bigint;
  readonly in_pieces?: boolean;
};

/** Rows of those of the messages that are still there, ascending, in batches. `uids` ascend. */
export async function* readRows(
  db: Kysely<Database>,
  { accountId, mailboxId }: { readonly accountId: AccountId; readonly mailboxId: MailboxId },
  uids: readonly number[],
  wants: RowWants,
): AsyncGenerator<readonly MessageRow[], void, void> {
  const columns = columnsFor(wants);
  let rest = uids;
  while (rest.length > 0) {
    const [first = 0, last = 0] = [rest[0], rest.at(-1)];
    // Neighbours are read in one sweep of the index, which costs a tenth of looking each up; strangers among them are dropped here.
    const isDense = last - first < rest.length * 2;
    const which = isDense ? sql`m.uid between ${first} and ${last}` : sql`m.uid = any (${int8Array(rest)}::int8[])`;
    const { rows } = await sql<MessageRow>`${sql.raw(`/*fetch-${isDense ? 'range' : 'list'}${columns.name}*/`)}
      select r.* from (
        select w.*, sum(w.weight) over (order by w.uid) - w.weight as before from (
          select m.uid, m.email_id, ${columns.columns} from ${columns.tables}
          where m.account_id = ${accountId} and m.mailbox_id = ${mailboxId} and ${which}
        ) w
      ) r where r.before < ${maxBatchBytes} order by r.uid`.execute(db);
    const end = rows.at(-1);
    if (!end) return;
    const wanted = new Set(rest);
    const batch = isDense ? rows.filter(({ uid }) => wanted.has(Number(uid))) : rows;
    if (batch.length > 0) yield batch;
    const after = Number(end.uid);
    rest = rest.slice(rest.findLastIndex((uid) => uid <= after) + 1);
  }
}

const columnsOf = {
  internalDate: ['m.internal_date'],
  size: ['m.size'],
  envelope: ['e.envelope'],
  bodystructure: ['e.bodystructure'],
  sentDay: ['e.sent_day'],
  content: [
    'e.prefix',
    'e.parts',
    `encode(e.blob_hash, 'hex') as hash`,
    'b.size as raw_size',
    'b.raw is null as in_pieces',
  ],
} as const;

/** Columns that may be long, with what `octet_length` needs to know of them (it doesn't fetch the value). */
const weights = { envelope: 'e.envelope', bodystructure: 'e.bodystructure', content: 'e.parts' } as const;

/** With a name for each combination of wants: at most 2^6. */
function columnsFor(wants: RowWants) {
  const wanted = (Object.keys(columnsOf) as (keyof typeof columnsOf)[]).filter((want) => wants[want]);
  const columns = new Set<string>(wanted.flatMap((want) => columnsOf[want]));
  const weight = wanted
    .filter((want) => want in weights)
    .map((want) => `octet_length(${weights[want as keyof typeof weights]})`);
  const isEmailRead = wanted.some((want) => want !== 'internalDate' && want !== 'size');
  return {
    name: wanted.map((want) => `-${want.toLowerCase()}`).join(''),
    columns: sql.raw([...columns, `${['0', ...weight].join(' + ')} as weight`].join(', ')),
    tables: sql.raw(
      'message m' +
        // OFFSET 0: looked up one by one whatever the statistics say, which know nothing of mail that has just come.
        (isEmailRead
          ? ', lateral (select * from email where account_id = m.account_id and id = m.email_id offset 0) e'
          : '') +
        (wants.content ? ', lateral (select * from blob where hash = e.blob_hash offset 0) b' : ''),
    ),
  };
}
