/** What each command needs and does: the one place to look for the order of things (RFC 3501 section 6). */
import type { ImapVerb } from '../grammar/command.ts';
import type { ImapSession } from '../state/session.ts';
import type { SessionPlace } from '../state/session-state.ts';
import { enableCommand, idCommand, logoutCommand, namespaceCommand, noopCommand } from './any-state.ts';
import { appendCommand, type AnnouncedLiteral } from './append.ts';
import { capabilityCommand } from './capability.ts';
import type { CommandOf } from './command-of.ts';
import { fetchCommand } from './fetch.ts';
import { idleCommand } from './idle.ts';
import { listCommand, lsubCommand } from './list.ts';
import { authenticateCommand, loginCommand } from './login.ts';
import { createCommand, deleteCommand, renameCommand, statusCommand, subscribeCommand } from './mailboxes.ts';
import { copyCommand, expungeCommand, moveCommand, storeCommand } from './messages.ts';
import type { Outcome } from './outcome.ts';
import { searchCommand } from './search.ts';
import { closeCommand, selectCommand, unselectCommand } from './select.ts';
import { startTlsCommand } from './starttls.ts';

/** What a handler gets beside the session and its command. */
export type Invocation = {
  readonly tag: string;
  /** The message of an APPEND; null for every other command. */
  readonly literal: AnnouncedLiteral | null;
};

export type CommandSpec<V extends ImapVerb> = {
  readonly states: readonly SessionPlace[];
  /**
   * What is told of the mailbox's changes when the command is done: everything; all but EXPUNGE where the command
   * used sequence numbers (RFC 3501 section 7.4.1); nothing.
   */
  readonly updates: (command: CommandOf<V>) => 'all' | 'no-expunge' | 'none';
  /** The mailbox is read even when no change was heard of. */
  readonly alwaysReads?: true;
  /** Null: the handler has sent the tagged response. */
  readonly run: (session: ImapSession, command: CommandOf<V>, invocation: Invocation) => Promise<Outcome | null>;
};

const any: readonly SessionPlace[] = ['not-authenticated', 'authenticated', 'selected'];
const before: readonly SessionPlace[] = ['not-authenticated'];
const after: readonly SessionPlace[] = ['authenticated', 'selected'];
const selected: readonly SessionPlace[] = ['selected'];

const all = (): 'all' => 'all';
const none = (): 'none' => 'none';
const byNumber = ({ byUid }: { readonly byUid: boolean }): 'all' | 'no-expunge' => (byUid ? 'all' : 'no-expunge');

const commandTable: { readonly [V in ImapVerb]: CommandSpec<V> } = {
  CAPABILITY: { states: any, updates: all, run: capabilityCommand },
  NOOP: { states: any, updates: all, alwaysReads: true, run: noopCommand },
  LOGOUT: { states: any, updates: none, run: logoutCommand },
  ID: { states: any, updates: all, run: idCommand },
  STARTTLS: { states: before, updates: none, run: (session, _command, { tag }) => startTlsCommand(session, tag) },
  AUTHENTICATE: { states: before, updates: none, run: authenticateCommand },
  LOGIN: { states: before, updates: none, run: loginCommand },
  ENABLE: { states: after, updates: all, run: enableCommand },
  SELECT: { states: after, updates: none, run: selectCommand },
  EXAMINE: { states: after, updates: none, run: selectCommand },
  CREATE: { states: after, updates: all, run: createCommand },
  DELETE: { states: after, updates: all, run: deleteCommand },
  RENAME: { states: after, updates: all, run: renameCommand },
  SUBSCRIBE: { states: after, updates: all, run: subscribeCommand },
  UNSUBSCRIBE: { states: after, updates: all, run: subscribeCommand },
  LIST: { states: after, updates: all, run: listCommand },
  LSUB: { states: after, updates: all, run: lsubCommand },
  NAMESPACE: { states: after, updates: all, run: namespaceCommand },
  STATUS: { states: after, updates: all, run: statusCommand },
  APPEND: {
    states: after,
    updates: all,
    run: (session, command, { literal }) => {
      if (literal === null) throw new Error('APPEND without its message');
      return appendCommand(session, command, literal);
    },
  },
  IDLE: { states: after, updates: all, run: idleCommand },
  CHECK: { states: selected, updates: all, alwaysReads: true, run: noopCommand },
  CLOSE: { states: selected, updates: none, run: closeCommand },
  UNSELECT: { states: selected, updates: none, run: unselectCommand },
  EXPUNGE: { states: selected, updates: all, run: expungeCommand },
  SEARCH: { states: selected, updates: byNumber, run: searchCommand },
  FETCH: { states: selected, updates: byNumber, run: fetchCommand },
  STORE: { states: selected, updates: byNumber, run: storeCommand },
  COPY: { states: selected, updates: all, run: copyCommand },
  MOVE: { states: selected, updates: all, run: moveCommand },
};

/** The row of a verb, for a command whose verb is known only when it runs. */
export function commandSpec<V extends ImapVerb>(verb: V): CommandSpec<V> {
  return commandTable[verb];
}
