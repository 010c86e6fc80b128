/** The arguments of the commands on whole mailboxes: RFC 3501 sections 6.3.1 to 6.3.11. */
import type { Scanner } from '#shared/text/scanner.ts';
import { atom, keyword, literalHead, sp } from './astring.ts';
import type { FlagList, ImapCommand, StatusItem } from './command.ts';
import { dateTime } from './date-time.ts';
import { flagList } from './flag-list.ts';
import { mailbox } from './mailbox-name.ts';

/** create = "CREATE" SP mailbox [SP "(" "USE" SP "(" [use-attr *(SP use-attr)] ")" ")"]   (RFC 6154 section 6) */
export function createArguments(s: Scanner): ImapCommand {
  sp(s);
  const name = mailbox(s);
  if (!s.take(' (')) return { verb: 'CREATE', mailbox: name, use: null };
  if (!s.takeWord('USE ')) s.fail('create-param USE');
  s.expect('(', 'use-attr list');
  const use: string[] = [];
  while (!s.take(')')) {
    if (use.length > 0) sp(s);
    s.expect('\\', 'use-attr');
    use.push(atom(s, 'use-attr'));
  }
  s.expect(')', '")" of create-params');
  return { verb: 'CREATE', mailbox: name, use };
}

/** rename = "RENAME" SP mailbox SP mailbox */
export function renameArguments(s: Scanner): ImapCommand {
  sp(s);
  const from = mailbox(s);
  sp(s);
  return { verb: 'RENAME', from, to: mailbox(s) };
}

const statusItems: readonly StatusItem[] = ['MESSAGES', 'RECENT', 'UIDNEXT', 'UIDVALIDITY', 'UNSEEN'];

/** status = "STATUS" SP mailbox SP "(" status-att *(SP status-att) ")"; an item asked for twice is given once. */
export function statusArguments(s: Scanner): ImapCommand {
  sp(s);
  const name = mailbox(s);
  sp(s);
  s.expect('(', 'status-att list');
  const items = new Set<StatusItem>();
  do {
    const item = keyword(s, 'status-att');
    items.add(
      statusItems.find((known) => known === item) ?? s.fail(`status-att (${statusItems.join(' ')}) before this`),
    );
  } while (s.take(' '));
  s.expect(')', '")" after status-att');
  return { verb: 'STATUS', mailbox: name, items: [...items] };
}

/**
 * append = "APPEND" SP mailbox [SP flag-list] [SP date-time] SP literal
 *
 * Passes the announcement of the literal; the message itself is not part of the text.
 */
export function appendArguments(s: Scanner): ImapCommand {
  sp(s);
  const name = mailbox(s);
  sp(s);
  let flags: FlagList = { flags: 0, keywords: [] };
  if (s.startsWith('(')) {
    flags = flagList(s);
    sp(s);
  }
  let internalDate: Date | null = null;
  if (s.startsWith('"')) {
    internalDate = dateTime(s);
    sp(s);
  }
  const bytes = literalHead(s);
  if (bytes === null || bytes > 0xffff_ffff) s.fail('literal');
  return { verb: 'APPEND', mailbox: name, flags, internalDate };
}
