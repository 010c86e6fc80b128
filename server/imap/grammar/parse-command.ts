import { Scanner } from '#shared/text/scanner.ts';
import { isAstringChar, keyword, sp } from './astring.ts';
import type { ImapCommand } from './command.ts';

/** The arguments of a command: the cursor stands behind its name, and has to stand behind the last of them. */
type Arguments = (s: Scanner) => ImapCommand;

type Bare = 'CAPABILITY' | 'NOOP' | 'LOGOUT' | 'STARTTLS' | 'CHECK' | 'CLOSE' | 'UNSELECT' | 'IDLE' | 'NAMESPACE';

function alone(verb: Bare): [string, Arguments] {
  return [verb, () => ({ verb })];
}

const commands: ReadonlyMap<string, Arguments> = new Map<string, Arguments>([
  alone('CAPABILITY'),
  alone('NOOP'),
  alone('LOGOUT'),
  alone('STARTTLS'),
  alone('CHECK'),
  alone('CLOSE'),
  alone('UNSELECT'),
  alone('IDLE'),
  alone('NAMESPACE'),
]);

/**
 * command = tag SP (command-any / command-auth / command-nonauth / command-select)   (RFC 3501 section 9)
 *
 * `text` is one command as it came, a code unit a byte, literals inside, without the line end. Of APPEND the
 * text ends behind the announcement of its message; any other that ends so throws LiteralPending.
 */
export function parseCommand(text: string): { readonly tag: string; readonly command: ImapCommand } {
  const s = new Scanner(text);
  const tag = s.takeWhile(isTagChar);
  if (tag === '') s.fail('tag');
  sp(s);
  const known = commands.get(keyword(s, 'the name of a command'));
  const command = known ? known(s) : s.fail('the name of a known command');
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
  return tag !== '' && (s.done || s.startsWith(' ') || s.startsWith('\r') || s.startsWith('\n')) ? tag : null;
}

/** The name of a command that may be wrong, in capitals, UID with what follows; empty when there is none. */
export function verbOf(text: string): string {
  return (/^[^ ]+ ((?:UID )?[A-Z]{1,20})(?![^ \r\n])/i.exec(text)?.[1] ?? '').toUpperCase();
}
