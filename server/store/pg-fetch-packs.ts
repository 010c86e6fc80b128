/**
 * FETCH from packs (fetch-pack.ts): a mailbox of 100,000 messages is then some hundred rows. Whoever reads most of a page
 * by its messages' own rows leaves packs of it for the next. Pages still to be filled have none.
 */
import { sql, type Kysely } from 'kysely';
import type { AccountId, MailboxId, Uid } from '#shared/base/ids.ts';
import type { CopiedRow } from '#shared/db/copy-out.ts';
import type { Database } from '#shared/db/schema.ts';
import { keywordNames } from '#server/mail/keyword-table.ts';
import {
  forEachUidIn,
  keywordBitsOf,
  flagsOf,
  modSeqOf,
  pagesOf,
  type MailboxPage,
} from '#server/mail/mailbox-page.ts';
import { uidsPerPage } from '#server/mail/mailbox-page-columns.ts';
import type { FetchedMessage, FetchWants } from '#server/mail/ports.ts';
import { uidSetOf, type UidSet } from '#server/mail/uid-set.ts';
import { byteaArray, int4Array, textArray } from './binary-array.ts';
import {
  encodePack,
  packKindsOf,
  textsIn,
  type FetchPack,
  type FetchPackKind,
  type MadeMessage,
} from './fetch-pack.ts';

type Place = { readonly accountId: AccountId; readonly mailboxId: MailboxId };

/** Pages of one statement. */
const pagesAtOnce = 4;
/** Of one pack: with larger texts a page is read message by message. */
const maxPackBytes = 256 * 1024;
/** Of one page: whoever asks for ever other fields must not fill the disk. */
const maxPacksOfPage = 10;
/** What is asked for in smaller portions, or here and there, is read by its rows. */
const [leastUids, mostRanges] = [2 * uidsPerPage, 16];
/** Messages of a page that are worth a pack. */
const leastMessages = 32;

/** What packs hold of the wants; null: these messages are better read one by one. */
export function packKindsFor(uids: UidSet, wants: FetchWants): readonly FetchPackKind[] | null {
  const span = uids.reduce((sum, [first, last]) => sum + last - first + 1, 0);
  return span >= leastUids && uids.length <= mostRanges ? packKindsOf(wants) : null;
}

/** Batches of those messages that are there, ascending; `byRows` reads those of which there are no packs. */
export async function* fetchFromPacks(
  db: Kysely<Database>,
  place: Place,
  {
    uids,
    wants,
    kinds,
  }: { readonly uids: UidSet; readonly wants: FetchWants; readonly kinds: readonly FetchPackKind[] },
  byRows: (uids: UidSet) => AsyncGenerator<readonly FetchedMessage[], void, void>,
): AsyncGenerator<readonly FetchedMessage[], void, void> {
  for await (const pages of somePages(db, place, uids, kinds)) {
    const unpacked: PackedPage[] = [];
    for (const page of pages) {
      const batch = messagesOf(page, uids, wants, kinds);
      if (batch === null) unpacked.push(page);
      else if (batch.length > 0) {
        yield* readUnpacked(db, place, { pages: unpacked.splice(0), uids, kinds }, byRows);
        yield batch;
      }
    }
    yield* readUnpacked(db, place, { pages: unpacked, uids, kinds }, byRows);
  }
}

async function* somePages(
  db: Kysely<Database>,
  place: Place,
  uids: UidSet,
  kinds: readonly FetchPackKind[],
): AsyncGenerator<readonly PackedPage[], void, void> {
  for (const [first, last] of pagesOf(uids)) {
    for (let from = first; from <= last;) {
      const pages = await readPages(db, place, [from, last], kinds);
      yield pages;
      if (pages.length < pagesAtOnce) break;
      from = (pages.at(-1)?.page.page ?? last) + 1;
    }
  }
}

type PackedPage = {
  readonly page: MailboxPage;
  /** The mailbox's, where any message of the page has one. */
  readonly keywords: readonly string[];
  /** No message will be added to it. */
  readonly isFull: boolean;
  readonly packs: readonly (FetchPack | null)[];
};

async function readPages(
  db: Kysely<Database>,
  { accountId, mailboxId }: Place,
  [first, last]: readonly [number, number],
  kinds: readonly FetchPackKind[],
): Promise<readonly PackedPage[]> {
  const columns = kinds.map((_, i) => `, k${i}.present as present${i}, k${i}.data as data${i}`);
  const packs = kinds.map(
    ({ name }, i) => `left join lateral (
      select present, data from fetch_pack
      where account_id = p.account_id and mailbox_id = p.mailbox_id and page = p.page and kind = '${name}'
      offset 0) k${i} on true`,
  );
  const { rows } = await sql<CopiedRow>`${sql.raw(`copy (
    select p.page, p.present, p.flags, p.modseqs, p.keywords, p.base_modseq, p.max_modseq, p.names, p.is_full ${columns.join('')}
    from mailbox b, lateral (
      select p.*, case when p.keywords is not null then array_to_json(b.keywords)::text end as names,
        p.page < (b.uidnext >> 8) as is_full
      from mailbox_page p
      where p.account_id = b.account_id and p.mailbox_id = b.id and p.page between ${first} and ${last}
      order by p.page limit ${pagesAtOnce}) p ${packs.join('\n')}
    where b.account_id = ${BigInt(accountId)} and b.id = ${BigInt(mailboxId)}
    order by p.page) to stdout (format binary)`)}`.execute(db);
  return rows.map((row) => toPackedPage(row, kinds.length));
}

function toPackedPage(row: CopiedRow, kinds: number): PackedPage {
  const [page, present, flags, modSeqs, keywords, base, max, names, isFull, ...packs] = row as [...Buffer[]];
  const must = (column: Buffer | null | undefined): Buffer => column ?? Buffer.alloc(0);
  return {
    page: {
      page: must(page).readInt32BE(),
      present: must(present),
      flags: must(flags),
      modSeqs: must(modSeqs),
      keywords: keywords ?? null,
      baseModSeq: Number(must(base).readBigInt64BE()),
      maxModSeq: Number(must(max).readBigInt64BE()),
    },
    keywords: names ? (JSON.parse(names.toString()) as string[]) : [],
    isFull: must(isFull)[0] === 1,
    packs: Array.from({ length: kinds }, (_, i) => {
      const [present, data] = [packs[i * 2], packs[i * 2 + 1]];
      return present && data ? { present, data } : null;
    }),
  };
}

function uidsIn({ page }: PackedPage, uids: UidSet): readonly Uid[] {
  const found: Uid[] = [];
  forEachUidIn(page, uids, (uid) => found.push(uid));
  return found;
}

/** Null: not all that is wanted is in packs. */
function messagesOf(
  packed: PackedPage,
  uids: UidSet,
  wants: FetchWants,
  kinds: readonly FetchPackKind[],
): readonly FetchedMessage[] | null {
  const wanted = uidsIn(packed, uids);
  if (wanted.length === 0) return [];
  const columns: (readonly string[])[] = [];
  for (const pack of packed.packs) {
    const texts = pack && textsIn(pack, wanted);
    if (texts === null) return null;
    columns.push(texts);
  }
  const { page, keywords } = packed;
  return wanted.map((uid, i) => {
    const message: MadeMessage = { uid };
    if (wants.flags === true) {
      message.flags = flagsOf(page, uid);
      message.keywords = keywordNames(keywords, keywordBitsOf(page, uid));
      message.modSeq = modSeqOf(page, uid);
    }
    for (let k = 0; k < kinds.length; k++) kinds[k]?.put(message, columns[k]?.[i] ?? '');
    return message;
  });
}

async function* readUnpacked(
  db: Kysely<Database>,
  place: Place,
  o: { readonly pages: readonly PackedPage[]; readonly uids: UidSet; readonly kinds: readonly FetchPackKind[] },
  byRows: (uids: UidSet) => AsyncGenerator<readonly FetchedMessage[], void, void>,
): AsyncGenerator<readonly FetchedMessage[], void, void> {
  const wanted = uidSetOf(o.pages.flatMap((page) => uidsIn(page, o.uids)));
  if (wanted.length === 0) return;
  const toPack = new Map(o.pages.flatMap(({ page, isFull }) => (isFull ? [[page.page, new PageToPack(o.kinds)]] : [])));
  for await (const batch of byRows(wanted)) {
    for (const message of batch) toPack.get(Math.floor(message.uid / uidsPerPage))?.add(message);
    yield batch;
  }
  await storePacks(db, place, o, toPack);
}

/** What was read of a page, while there is not too much of it: then it is let go of, and no pack is made. */
class PageToPack {
  readonly #kinds: readonly FetchPackKind[];
  #messages: FetchedMessage[] = [];
  #length = 0;

  constructor(kinds: readonly FetchPackKind[]) {
    this.#kinds = kinds;
  }

  /** None where it was too much. */
  get messages(): readonly FetchedMessage[] {
    return this.#messages;
  }

  add(message: FetchedMessage): void {
    for (const { textOf } of this.#kinds) this.#length += textOf(message).length;
    if (this.#length > maxPackBytes * this.#kinds.length) this.#messages = [];
    else this.#messages.push(message);
  }
}

/** Leaves packs of the pages that were read whole. One that can't be written is none: nobody waits for it. */
async function storePacks(
  db: Kysely<Database>,
  { accountId, mailboxId }: Place,
  { pages, kinds }: { readonly pages: readonly PackedPage[]; readonly kinds: readonly FetchPackKind[] },
  toPack: ReadonlyMap<number, PageToPack>,
): Promise<void> {
  const made: { readonly page: number; readonly kind: string; readonly pack: FetchPack }[] = [];
  for (const { page, packs } of pages) {
    const messages = toPack.get(page.page)?.messages ?? [];
    if (messages.length < leastMessages) continue;
    for (const [i, kind] of kinds.entries()) {
      const pack = encodePack(messages, kind, maxPackBytes);
      // One that has all that is there would have been used.
      const known = packs[i];
      if (pack && pack.present.equals(page.present) && (!known || !known.present.equals(pack.present))) {
        made.push({ page: page.page, kind: kind.name, pack });
      }
    }
  }
  if (made.length === 0) return;
  try {
    // The lock: a mailbox that is being removed takes these with it.
    await sql`/*put-fetch-packs*/
      insert into fetch_pack (account_id, mailbox_id, kind, page, present, data)
      select b.account_id, b.id, n.kind, n.page, n.present, n.data
      from mailbox b, unnest(${textArray(made.map(({ kind }) => kind))}::text[], ${int4Array(made.map(({ page }) => page))}::int4[],
        ${byteaArray(made.map(({ pack }) => pack.present))}::bytea[], ${byteaArray(made.map(({ pack }) => pack.data))}::bytea[])
        n (kind, page, present, data)
      where b.account_id = ${accountId} and b.id = ${mailboxId} and (
        select count(*) from fetch_pack f
        where f.account_id = b.account_id and f.mailbox_id = b.id and f.page = n.page and f.kind <> n.kind
      ) < ${sql.lit(maxPacksOfPage)}
      for key share of b
      on conflict (account_id, mailbox_id, page, kind) do update
        set present = excluded.present, data = excluded.data, at = now()`.execute(db);
  } catch {
    // A full disk, a database that only reads, a mailbox that went: the messages were read all the same.
  }
}
