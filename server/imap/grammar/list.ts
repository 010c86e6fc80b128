import type { Scanner } from '#shared/text/scanner.ts';
import { keyword, sp } from './astring.ts';
import type { ImapCommand } from './command.ts';
import { listMailbox, mailbox } from './mailbox-name.ts';

type ListCommand = Extract<ImapCommand, { verb: 'LIST' }>;

const selections: ListCommand['select'] = ['SUBSCRIBED', 'SPECIAL-USE'];
const returns: ListCommand['returns'] = ['SUBSCRIBED', 'CHILDREN', 'SPECIAL-USE'];

/**
 * list = "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]
 *
 * RFC 5258 section 6, with the options of RFC 6154 and no others: REMOTE, RECURSIVEMATCH and STATUS are refused.
 */
export function listArguments(s: Scanner): ListCommand {
  sp(s);
  let select: ListCommand['select'] = [];
  if (s.startsWith('(')) {
    select = options(s, selections, 'list-select-opt');
    sp(s);
  }
  const reference = mailbox(s);
  sp(s);
  const patterns = s.startsWith('(') ? patternList(s) : [listMailbox(s)];
  return { verb: 'LIST', reference, patterns, select, returns: returnOptions(s) };
}

/** patterns = "(" list-mailbox *(SP list-mailbox) ")" */
function patternList(s: Scanner): readonly string[] {
  const patterns: string[] = [];
  s.expect('(', 'patterns');
  do patterns.push(listMailbox(s));
  while (s.take(' '));
  s.expect(')', '")" of patterns');
  return patterns;
}

/** list-return-opts = "RETURN" SP "(" [return-option *(SP return-option)] ")" */
function returnOptions(s: Scanner): ListCommand['returns'] {
  if (!s.takeWord(' RETURN')) return [];
  sp(s);
  return options(s, returns, 'list-return-opt');
}

/** Options in parentheses, perhaps none, each once. */
function options<Option extends string>(s: Scanner, known: readonly Option[], rule: string): readonly Option[] {
  s.expect('(', rule);
  if (s.take(')')) return [];
  const chosen = new Set<Option>();
  do {
    const name = keyword(s, rule);
    chosen.add(known.find((option) => option === name) ?? s.fail(`${rule} (${known.join(' ')}) before this`));
  } while (s.take(' '));
  s.expect(')', `")" after ${rule}`);
  return [...chosen];
}

/** lsub = "LSUB" SP mailbox SP list-mailbox   (RFC 3501 section 9) */
export function lsubArguments(s: Scanner): ImapCommand {
  sp(s);
  const reference = mailbox(s);
  sp(s);
  return { verb: 'LSUB', reference, pattern: listMailbox(s) };
}
