/**
 * What a session needs of a mailbox that it selects. A process remembers it of the mailboxes opened last, and then reads
 * the pages that changed since: mostly none, however large the mailbox is.
 */
import { sql, type Kysely, type Selectable } from 'kysely';
import type { AccountId, MailboxId, Uid } from '#shared/base/ids.ts';
import type { Database } from '#shared/db/schema.ts';
import { flagBits } from '#server/mail/flags.ts';
import type { Mailbox } from '#server/mail/mailbox.ts';
import { pageNumberOf, type MailboxPage } from '#server/mail/mailbox-page.ts';
import { flagsAt, isPresent, uidsPerPage } from '#server/mail/mailbox-page-columns.ts';
import type { OpenedMailbox } from '#server/mail/ports.ts';
import { Presence } from '#server/mail/presence.ts';
import type { OpenedMailboxes } from './opened-mailboxes.ts';
import { mailboxColumns, toMailbox } from './pg-rows.ts';

/** By its canonical name; null: there is none. */
export async function openMailbox(
  db: Kysely<Database>,
  remembered: OpenedMailboxes,
  { accountId, name }: { readonly accountId: AccountId; readonly name: string },
): Promise<OpenedMailbox | null> {
  const place = remembered.of(`${accountId} ${name}`);
  const again = place.known && (await readAgain(db, { accountId, name, known: place.known }));
  // What is remembered and what was read since must be of one server.
  const opened = (place.isCurrent() ? again : null) ?? (await readWhole(db, { accountId, name }));
  place.keep(opened);
  return opened;
}

type Wanted = { readonly accountId: AccountId; readonly name: string };

async function readWhole(db: Kysely<Database>, wanted: Wanted): Promise<OpenedMailbox | null> {
  const read = await readPages(db, wanted, null);
  if (read === null) return null;
  const { mailbox, pages } = read;
  const presence = Presence.of(pages);
  return { mailbox, presence, firstUnseen: firstUnseenOf(mailbox, presence, () => firstUnseenIn(pages)) };
}

/** Null: it is gone, another one has its name, or what is remembered does not do. */
async function readAgain(
  db: Kysely<Database>,
  { accountId, name, known }: Wanted & { readonly known: OpenedMailbox },
): Promise<OpenedMailbox | null> {
  const { id, uidValidity, highestModSeq } = known.mailbox;
  const read = await readPages(db, { accountId, name }, { id, since: highestModSeq });
  if (read === null) return null;
  const { mailbox, pages } = read;
  if (mailbox.id !== id || mailbox.uidValidity !== uidValidity || mailbox.highestModSeq < highestModSeq) return null;
  if (mailbox.highestModSeq === highestModSeq) return { ...known, mailbox };
  const presence = known.presence.copy();
  for (const { page, present } of pages) presence.setPageBits(page, present);
  presence.recount();
  const firstUnseen = firstUnseenOf(mailbox, presence, () => firstUnseenAfter(known.firstUnseen, pages));
  return firstUnseen === 'unknown' ? null : { mailbox, presence, firstUnseen };
}

function firstUnseenOf<T>({ unseen, messages }: Mailbox, presence: Presence, look: () => T): T | Uid | null {
  if (unseen === 0) return null;
  return unseen === messages ? (presence.uidAt(1) as Uid) : look();
}

/** `before`: it was the first. Of pages that did not change it is known only that none below it has one. */
function firstUnseenAfter(before: Uid | null, changed: readonly ReadPage[]): Uid | null | 'unknown' {
  const first = firstUnseenIn(changed);
  if (before === null) return first ?? 'unknown';
  const page = pageNumberOf(before);
  if (!changed.some((each) => each.page === page)) return first !== null && first < before ? first : before;
  return first !== null && pageNumberOf(first) <= page ? first : 'unknown';
}

function firstUnseenIn(pages: readonly ReadPage[]): Uid | null {
  for (const { page, present, flags } of pages) {
    for (let slot = 0; slot < uidsPerPage; slot++) {
      if (!isPresent(present, slot) || flags === null || (flagsAt(flags, slot) & flagBits.seen) !== 0) continue;
      return (page * uidsPerPage + slot) as Uid;
    }
  }
  return null;
}

/** Flags: only where the first message without \Seen has to be looked for. */
type ReadPage = Pick<MailboxPage, 'page' | 'present'> & { readonly flags: Uint8Array | null };

type Row = Selectable<Database['mailbox']> & { readonly present: Buffer | null; readonly page_flags: Buffer | null };

const [numberBytes, presentBytes, flagBytes] = [4, uidsPerPage / 8, uidsPerPage * 2];

/** Ascending; those changed after `known.since`, if that mailbox has the name; else all. Packed into one value. */
async function readPages(
  db: Kysely<Database>,
  { accountId, name }: Wanted,
  known: { readonly id: MailboxId; readonly since: number } | null,
): Promise<{ readonly mailbox: Mailbox; readonly pages: readonly ReadPage[] } | null> {
  const { id, since } = known ?? { id: 0n, since: 0 };
  const from = sql`(case when m.id = ${id} then ${since}::int8 else 0 end)`;
  const { rows } = await sql<Row>`/*open-mailbox*/
    select ${mailboxColumns}, p.present, p.page_flags
    from mailbox m, lateral (
      select string_agg(int4send(page) || present, '') as present,
          string_agg(flags, '') filter (where m.unseen not in (0, m.messages)) as page_flags
      from (
        select page, present, flags from mailbox_page
        where account_id = m.account_id and mailbox_id = m.id
          and m.highest_modseq > ${from} and max_modseq > ${from}
        order by page) o
    ) p
    where m.account_id = ${accountId} and m.name = ${name}`.execute(db);
  const [row] = rows;
  if (!row) return null;
  const present = row.present ?? Buffer.alloc(0);
  const pages: ReadPage[] = [];
  for (let at = 0; at < present.length; at += numberBytes + presentBytes) {
    pages.push({
      page: present.readInt32BE(at),
      present: present.subarray(at + numberBytes, at + numberBytes + presentBytes),
      flags: row.page_flags?.subarray(pages.length * flagBytes, (pages.length + 1) * flagBytes) ?? null,
    });
  }
  return { mailbox: toMailbox(row), pages };
}
