/** Rows of mailboxes and pages, read and made into what the port shows. */
import { sql, type Kysely, type RawBuilder, type Selectable } from 'kysely';
import type { AccountId, MailboxId, ModSeq, Uid } from '#shared/base/ids.ts';
import type { Database } from '#shared/db/schema.ts';
import type { Mailbox, SpecialUse } from '#server/mail/mailbox.ts';
import type { MailboxPage } from '#server/mail/mailbox-page.ts';
import type { MailboxState } from '#server/mail/ports.ts';
import type { UidSet } from '#server/mail/uid-set.ts';
import { int4Array } from './binary-array.ts';

export const everyUid: UidSet = [[1 as Uid, 0xffff_ffff as Uid]];

export function toMailbox(row: Selectable<Database['mailbox']>): Mailbox {
  return {
    id: row.id,
    name: row.name,
    specialUse: row.special_use as SpecialUse | null,
    uidValidity: Number(row.uidvalidity),
    uidNext: Number(row.uidnext) as Uid,
    highestModSeq: Number(row.highest_modseq) as ModSeq,
    messages: Number(row.messages),
    unseen: Number(row.unseen),
    sizeBytes: Number(row.size),
    recentFrom: Number(row.recent_from) as Uid,
    keywords: row.keywords,
  };
}

export type PageColumns = Omit<Selectable<Database['mailbox_page']>, 'account_id' | 'mailbox_id' | 'keywords'> & {
  readonly page_keywords: Buffer | null;
};

export function toPage(row: PageColumns): MailboxPage {
  return {
    page: row.page,
    present: row.present,
    flags: row.flags,
    modSeqs: row.modseqs,
    keywords: row.page_keywords,
    baseModSeq: Number(row.base_modseq),
    maxModSeq: Number(row.max_modseq),
  };
}

/**
 * By name, not with a star: a prepared statement that returns every column fails once a newer server's migration
 * adds one, and the older server keeps running through that.
 */
export const mailboxColumns = sql.raw(
  'm.account_id, m.id, m.name, m.special_use, m.uidvalidity, m.uidnext, m.highest_modseq, m.messages, m.unseen, ' +
    'm.size, m.recent_from, m.keywords',
);

export const pageColumns = sql.raw(
  'p.page, p.present, p.flags, p.modseqs, p.keywords as page_keywords, p.base_modseq, p.max_modseq',
);

/**
 * A mailbox and its pages changed after `since`, of one moment (one statement, so one snapshot); null: it is gone.
 * Where nothing changed no page is looked at: behind OFFSET 0 that is found out once, not for each.
 */
export async function readMailboxState(
  db: Kysely<Database>,
  accountId: AccountId,
  mailboxId: MailboxId,
  since: number,
): Promise<MailboxState | null> {
  type Row = Selectable<Database['mailbox']> & { [Column in keyof PageColumns]: PageColumns[Column] | null };
  const { rows } = await sql<Row>`/*read-state*/
    select ${mailboxColumns}, ${pageColumns}
    from mailbox m left join lateral (
      select * from mailbox_page o
      where o.account_id = m.account_id and o.mailbox_id = m.id and o.max_modseq > ${since} and m.highest_modseq > ${since}
      offset 0) p on true
    where m.account_id = ${accountId} and m.id = ${mailboxId}
    order by p.page`.execute(db);
  const [first] = rows;
  if (!first) return null;
  return {
    mailbox: toMailbox(first),
    pages: rows.flatMap((row) => (row.page === null ? [] : [toPage(row as PageColumns)])),
  };
}

/** Each is looked up by itself (OFFSET 0), however little the planner knows of the mailbox. */
export function rangesOf(ranges: readonly (readonly [first: number, last: number])[]): RawBuilder<unknown> {
  const [firsts, lasts] = [ranges.map(([first]) => first), ranges.map(([, last]) => last)];
  return sql`unnest(${int4Array(firsts)}::int4[], ${int4Array(lasts)}::int4[]) r (first, last)`;
}
