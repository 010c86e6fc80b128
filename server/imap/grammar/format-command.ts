import { unreachable } from '#shared/base/unreachable.ts';
import { formatNstring, formatString } from './astring.ts';
import type { FetchItem, ImapCommand, SequenceSet } from './command.ts';
import { formatDateTime } from './date-time.ts';
import { formatFetchItem } from './fetch-att.ts';
import { formatFlagList } from './flag-list.ts';
import { formatSearchKey, utf8Astring } from './format-search-key.ts';
import { formatMailbox } from './mailbox-name.ts';
import { formatSequenceSet } from './sequence-set.ts';

/**
 * The inverse of `parseCommand`: a command as a client writes it, a code unit a byte, with synchronizing
 * literals and without the line end. APPEND ends before the announcement of its message.
 */
export function formatCommand(tag: string, command: ImapCommand): string {
  return `${tag} ${words(command).join(' ')}`;
}

function words(command: ImapCommand): readonly string[] {
  if ('byUid' in command) return messageWords(command);
  if ('mailbox' in command) return mailboxWords(command);
  const { verb } = command;
  switch (verb) {
    case 'ID':
      return [verb, formatId(command.fields)];
    case 'LOGIN':
      return [verb, utf8Astring(command.user), utf8Astring(command.password)];
    case 'AUTHENTICATE':
      return [verb, command.mechanism, ...(command.initialResponse === null ? [] : [command.initialResponse])];
    case 'ENABLE':
      return [verb, ...command.capabilities];
    case 'RENAME':
      return [verb, formatMailbox(command.from), formatMailbox(command.to)];
    case 'LIST':
      return listWords(command);
    case 'LSUB':
      return [verb, formatMailbox(command.reference), formatMailbox(command.pattern)];
    case 'EXPUNGE':
      return command.uids ? ['UID EXPUNGE', formatSequenceSet(command.uids)] : [verb];
    default:
      return [verb];
  }
}

type MailboxCommand = Exclude<Extract<ImapCommand, { mailbox: string }>, MessageCommand>;

function mailboxWords(command: MailboxCommand): readonly string[] {
  const both = [command.verb, formatMailbox(command.mailbox)];
  switch (command.verb) {
    case 'CREATE': {
      const use = command.use?.map((attribute) => `\\${attribute}`).join(' ');
      return use === undefined ? both : [...both, `(USE (${use}))`];
    }
    case 'STATUS':
      return [...both, `(${command.items.join(' ')})`];
    case 'APPEND': {
      const date = command.internalDate ? [formatDateTime(command.internalDate)] : [];
      return [...both, formatFlagList(command.flags), ...date];
    }
    default:
      return both;
  }
}

type MessageCommand = Extract<ImapCommand, { byUid: boolean }>;

function messageWords(command: MessageCommand): readonly string[] {
  const verb = command.byUid ? `UID ${command.verb}` : command.verb;
  const withSet = (set: SequenceSet, ...rest: readonly string[]) => [verb, formatSequenceSet(set), ...rest];
  switch (command.verb) {
    case 'SEARCH':
      return [verb, formatSearchKey(command.key)];
    case 'FETCH':
      return withSet(command.set, formatFetchItems(command.items));
    case 'STORE': {
      const sign = { add: '+', remove: '-', replace: '' }[command.mode];
      return withSet(command.set, `${sign}FLAGS${command.silent ? '.SILENT' : ''}`, formatFlagList(command.list));
    }
    case 'COPY':
    case 'MOVE':
      return withSet(command.set, formatMailbox(command.mailbox));
    default:
      return unreachable(command);
  }
}

function formatFetchItems(items: readonly FetchItem[]): string {
  return `(${items.map(formatFetchItem).join(' ')})`;
}

function formatId(fields: ReadonlyMap<string, string | null> | null): string {
  if (!fields) return 'NIL';
  const bytes = (text: string) => Buffer.from(text).toString('latin1');
  const pairs = Array.from(fields, ([name, value]) => {
    return `${formatString(bytes(name))} ${formatNstring(value === null ? null : bytes(value))}`;
  });
  return `(${pairs.join(' ')})`;
}

function listWords(command: Extract<ImapCommand, { verb: 'LIST' }>): readonly string[] {
  const select = command.select.length > 0 ? [`(${command.select.join(' ')})`] : [];
  const returns = command.returns.length > 0 ? [`RETURN (${command.returns.join(' ')})`] : [];
  const patterns = `(${command.patterns.map(formatMailbox).join(' ')})`;
  return ['LIST', ...select, formatMailbox(command.reference), patterns, ...returns];
}
