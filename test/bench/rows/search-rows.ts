/** SEARCH of a large mailbox, with every hit counted. */
import type { Bench } from '../bench.ts';
import { needle, needleEvery } from '../client/messages.ts';
import type { MailServer } from '../servers/mail-server.ts';
import { Postrider } from '../servers/postrider.ts';
import { stated, times, type Aim } from './aim.ts';
import { bigCount, fillBig, read } from './read-rows.ts';
import type { Row } from './row.ts';

/** Searches are timed once our index is filled; Dovecot's xapian makes its own when first asked. */
async function fillAndIndex(bench: Bench, server: MailServer): Promise<void> {
  await fillBig(bench, server);
  if (server instanceof Postrider) await server.rested();
}

const needles = (bench: Bench): number => Math.ceil(bigCount(bench) / needleEvery);

function search(name: string, aim: Aim, o: { criteria: string; hits: (bench: Bench) => number; what?: string }): Row {
  const what = o.what ?? o.criteria.split(' ')[0];
  return read(name, `SEARCH ${what} on 100,000`, aim, {
    mailbox: 'Big',
    servers: ['postrider', 'dovecot-mdbox', 'dovecot-xapian'],
    prepare: fillAndIndex,
    commands: () => [`SEARCH ${o.criteria}`],
    hits: o.hits,
  });
}

export const searchRows: readonly Row[] = [
  search('search-subject', times(5, 'dovecot-mdbox'), { criteria: `SUBJECT ${needle.subject}`, hits: needles }),
  search('search-from', times(5, 'dovecot-mdbox'), { criteria: `FROM ${needle.from}`, hits: needles }),
  search('search-header', times(5, 'dovecot-mdbox'), { criteria: `HEADER X-Mailer ${needle.header}`, hits: needles }),
  search('search-body', times(20, 'dovecot-mdbox'), { criteria: `BODY ${needle.body}`, hits: needles }),
  search('search-text', times(20, 'dovecot-mdbox'), { criteria: `TEXT ${needle.body}`, hits: needles }),
  search('search-miss', stated, { criteria: 'TEXT nobody-wrote-this', hits: () => 0, what: 'TEXT that nothing has' }),
  search('search-common', stated, {
    criteria: 'HEADER X-Mailer bench',
    hits: (bench) => bigCount(bench) - needles(bench),
    what: 'HEADER that nearly all have',
  }),
];
