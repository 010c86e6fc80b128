import { maxImapTagBytes } from '#shared/base/limits.ts';
import { Scanner } from '#shared/text/scanner.ts';
import { isAstringChar, keyword, sp } from './astring.ts';
import type { ImapCommand } from './command.ts';
import { fetchAtts } from './fetch-att.ts';
import { storeAttFlags } from './flag-list.ts';
import { listArguments, lsubArguments } from './list.ts';
import { authenticateArguments, enableArguments, idArguments, loginArguments } from './login-commands.ts';
import { appendArguments, createArguments, renameArguments, statusArguments } from './mailbox-commands.ts';
import { mailbox } from './mailbox-name.ts';
import { searchProgram } from './search-key.ts';
import { sequenceSet } from './sequence-set.ts';

/** The arguments of a command: the cursor stands behind its name, and has to stand behind the last of them. */
type Arguments = (s: Scanner) => ImapCommand;

type Bare = 'CAPABILITY' | 'NOOP' | 'LOGOUT' | 'STARTTLS' | 'CHECK' | 'CLOSE' | 'UNSELECT' | 'IDLE' | 'NAMESPACE';

function bare(verb: Bare): [string, Arguments] {
  return [verb, () => ({ verb })];
}

function onMailbox(verb: 'SELECT' | 'EXAMINE' | 'DELETE' | 'SUBSCRIBE' | 'UNSUBSCRIBE'): [string, Arguments] {
  return [
    verb,
    (s) => {
      sp(s);
      return { verb, mailbox: mailbox(s) };
    },
  ];
}

/** RFC 3501 sections 6.4.4 to 6.4.7, RFC 6851: those that UID may stand before. `byUid`: it does. */
function onMessages(byUid: boolean): [string, Arguments][] {
  const withSet = (verb: string, rest: (s: Scanner, set: ReturnType<typeof sequenceSet>) => ImapCommand) =>
    [
      verb,
      (s: Scanner) => {
        sp(s);
        const set = sequenceSet(s);
        sp(s);
        return rest(s, set);
      },
    ] satisfies [string, Arguments];
  return [
    withSet('FETCH', (s, set) => ({ verb: 'FETCH', byUid, set, items: fetchAtts(s) })),
    withSet('STORE', (s, set) => ({ verb: 'STORE', byUid, set, ...storeAttFlags(s) })),
    withSet('COPY', (s, set) => ({ verb: 'COPY', byUid, set, mailbox: mailbox(s) })),
    withSet('MOVE', (s, set) => ({ verb: 'MOVE', byUid, set, mailbox: mailbox(s) })),
    [
      'SEARCH',
      (s) => {
        sp(s);
        return { verb: 'SEARCH', byUid, key: searchProgram(s) };
      },
    ],
  ];
}

/** RFC 4315 section 2.1: UID EXPUNGE. */
function uidExpunge(s: Scanner): ImapCommand {
  sp(s);
  return { verb: 'EXPUNGE', uids: sequenceSet(s) };
}

const uidCommands: ReadonlyMap<string, Arguments> = new Map([...onMessages(true), ['EXPUNGE', uidExpunge]]);

function uid(s: Scanner): ImapCommand {
  sp(s);
  return named(s, uidCommands, 'COPY, EXPUNGE, FETCH, MOVE, SEARCH or STORE');
}

const commands: ReadonlyMap<string, Arguments> = new Map<string, Arguments>([
  bare('CAPABILITY'),
  bare('NOOP'),
  bare('LOGOUT'),
  bare('STARTTLS'),
  bare('CHECK'),
  bare('CLOSE'),
  bare('UNSELECT'),
  bare('IDLE'),
  bare('NAMESPACE'),
  ['ID', idArguments],
  ['LOGIN', loginArguments],
  ['AUTHENTICATE', authenticateArguments],
  ['ENABLE', enableArguments],
  onMailbox('SELECT'),
  onMailbox('EXAMINE'),
  onMailbox('DELETE'),
  onMailbox('SUBSCRIBE'),
  onMailbox('UNSUBSCRIBE'),
  ['CREATE', createArguments],
  ['RENAME', renameArguments],
  ['LIST', listArguments],
  ['LSUB', lsubArguments],
  ['STATUS', statusArguments],
  ['APPEND', appendArguments],
  ['EXPUNGE', () => ({ verb: 'EXPUNGE', uids: null })],
  ...onMessages(false),
  ['UID', uid],
]);

function named(s: Scanner, known: ReadonlyMap<string, Arguments>, rule: string): ImapCommand {
  const find = known.get(keyword(s, rule));
  return find ? find(s) : s.fail(`${rule} before this`);
}

/**
 * command = tag SP (command-any / command-auth / command-nonauth / command-select)   (RFC 3501 section 9)
 *
 * `text` is one command as it came, a code unit a byte, literals inside, without the line end. Of APPEND the
 * text ends behind the announcement of its message; any other that ends so throws LiteralPending.
 */
export function parseCommand(text: string): { readonly tag: string; readonly command: ImapCommand } {
  const s = new Scanner(text);
  const tag = s.takeWhile(isTagChar);
  if (tag === '' || tag.length > maxImapTagBytes) s.fail(`tag of at most ${maxImapTagBytes} bytes`);
  sp(s);
  const command = named(s, commands, 'the name of a known command');
  // Not in the grammar, but sent by clients and taken by other servers.
  s.takeWhile((code) => code === 0x20);
  if (!s.done) s.fail('the end of the command');
  return { tag, command };
}

/** tag = 1*<any ASTRING-CHAR except "+"> */
function isTagChar(code: number): boolean {
  return isAstringChar(code) && code !== 0x2b;
}

/** The tag of a command that may be wrong behind it; null when there is none. */
export function tagOf(text: string): string | null {
  const s = new Scanner(text);
  const tag = s.takeWhile(isTagChar);
  if (tag === '' || tag.length > maxImapTagBytes) return null;
  return s.done || s.match(/[ \r\n]/y) ? tag : null;
}

/** The name of a command that may be wrong, in capitals, UID with what follows; empty when there is none. */
export function verbOf(text: string): string {
  return (/^[^ ]+ ((?:UID )?[A-Z]{1,20})(?![^ \r\n])/i.exec(text)?.[1] ?? '').toUpperCase();
}
