/** For rows that have no limits of their own: what Postgres or the disk alone needs for the same. */
import type { Bench } from '../bench.ts';
import { disk, postgresRead } from './limits.ts';
import type { Row } from './row.ts';

type Limits = NonNullable<Row['limits']>;

const mailboxNamed = (name: string): string =>
  `(select id from mailbox where name = '${name}' order by uidnext desc limit 1)`;

const pages: Limits = (bench: Bench) =>
  postgresRead(
    bench,
    `select present, flags, modseqs from mailbox_page where mailbox_id = ${mailboxNamed('Big')} order by page`,
  );

const bodies =
  (mailbox: string): Limits =>
  (bench) =>
    postgresRead(
      bench,
      `select b.raw from message m join email e on e.account_id = m.account_id and e.id = m.email_id
         join blob b on b.hash = e.blob_hash where m.mailbox_id = ${mailboxNamed(mailbox)} order by m.uid`,
    );

/** Of a message of 30 MB. */
const pieces: Limits = (bench) =>
  postgresRead(
    bench,
    `select p.data from message m join email e on e.account_id = m.account_id and e.id = m.email_id
       join blob_piece p on p.hash = e.blob_hash where m.mailbox_id = ${mailboxNamed('Large')} order by p.piece`,
  );

const limitsByRow: Readonly<Record<string, Limits>> = {
  'select-cold': pages,
  'fetch-flags': pages,
  'fetch-thunderbird': bodies('Big'),
  'bodies-one-command': bodies('Bodies'),
  'bodies-one-each': bodies('Bodies'),
  'bodies-depth-16': bodies('Bodies'),
  'body-30m': pieces,
  store: disk,
  copy: disk,
  move: disk,
  expunge: disk,
};

export function withLimits(row: Row): Row {
  if (row.limits) return row;
  const limits = limitsByRow[row.name];
  return limits ? { ...row, limits } : row;
}
