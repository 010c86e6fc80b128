/** STORE, COPY, MOVE and EXPUNGE (RFC 3501 sections 6.4.3, 6.4.6, 6.4.7; RFC 4315; RFC 6851). */
import type { MailboxState } from '#server/mail/ports.ts';
import type { UidSet } from '#server/mail/uid-set.ts';
import type { SequenceSet } from '../grammar/command.ts';
import { conditionResponse } from '../grammar/response.ts';
import type { ImapSession } from '../state/session.ts';
import type { MessageFlags } from '../state/mailbox-view.ts';
import { flagsFetchResponse, refresh, writeGathered } from '../state/synchronize.ts';
import type { CommandOf } from './command-of.ts';
import { namedMailbox } from './mailboxes.ts';
import { bad, no, ok, type Outcome } from './outcome.ts';

/** RFC 3501 section 9, "seq-number". */
export const noSuchNumber = bad('A message with such a sequence number does not exist');
const readOnly = no('The mailbox was opened with EXAMINE', 'NOPERM');

/** Null: the client named a sequence number that it can't have. */
export function namedUids(session: ImapSession, set: SequenceSet, byUid: boolean): UidSet | null {
  const { view } = session.selected;
  return byUid ? view.uidsOfUids(set) : view.uidsOfSequence(set);
}

/**
 * RFC 3501 section 6.4.6. An answer left out for .SILENT is left out only where the client can work the flags out for
 * itself: where nobody else changed the mailbox since the client was told of it.
 */
export async function storeCommand(session: ImapSession, command: CommandOf<'STORE'>): Promise<Outcome> {
  const { account, view } = session.selected;
  if (view.isReadOnly) return readOnly;
  const uids = namedUids(session, command.set, command.byUid);
  if (uids === null) return noSuchNumber;
  if (uids.length === 0) return ok('STORE completed');
  if (command.silent && session.isStale && !(await refresh(session))) return no('The mailbox is gone', 'NONEXISTENT');
  const { mode, list } = command;
  const state = await session.services.store.storeFlags(account.accountId, view.mailboxId, uids, { mode, ...list });
  const found = messagesIn(session, state, uids);
  const through = state.mailbox.highestModSeq;
  if (!command.silent) view.markTold(uids, through);
  else if (state.before === view.modSeq && !view.markSilent(uids, through)) session.markStale();
  if (!view.noteStored(state)) session.markStale();
  if (!command.silent) await writeGathered(session, found, (message) => flagsFetchResponse(message, command.byUid));
  // RFC 2180 section 4.2.1: the rest was done.
  if (!command.byUid && found.length < view.countIn(uids)) return expungeIssued;
  return ok('STORE completed');
}

/** Flags of those messages of the set that are there. */
function messagesIn(session: ImapSession, state: MailboxState, uids: UidSet): readonly MessageFlags[] {
  const { view } = session.selected;
  return state.pages.flatMap((page) => view.allFlagsIn(page, state.mailbox, uids));
}

/** RFC 5530 section 3: the client may want to hear of it by a NOOP. */
export const expungeIssued = no('Some of the messages were expunged by another session', 'EXPUNGEISSUED');

export async function copyCommand(session: ImapSession, command: CommandOf<'COPY'>): Promise<Outcome> {
  const { account, view } = session.selected;
  const uids = namedUids(session, command.set, command.byUid);
  if (uids === null) return noSuchNumber;
  const target = await namedMailbox(session, command.mailbox);
  if (uids.length === 0) return ok('COPY completed');
  const copied = await session.services.store.copy(account.accountId, view.mailboxId, uids, target.id);
  if (target.id === view.mailboxId) session.markStale();
  if (copied.source.length === 0) return command.byUid ? ok('COPY completed') : expungeIssued;
  return ok('COPY completed', { code: 'COPYUID', ...copied });
}

/** RFC 6851 section 3.3: COPYUID comes in an untagged OK, before the EXPUNGE responses. */
export async function moveCommand(session: ImapSession, command: CommandOf<'MOVE'>): Promise<Outcome> {
  const { account, view } = session.selected;
  if (view.isReadOnly) return readOnly;
  const uids = namedUids(session, command.set, command.byUid);
  if (uids === null) return noSuchNumber;
  const target = await namedMailbox(session, command.mailbox);
  if (uids.length === 0) return ok('MOVE completed');
  const moved = await session.services.store.move(account.accountId, view.mailboxId, uids, target.id);
  session.markStale();
  if (moved.source.length === 0) return command.byUid ? ok('MOVE completed') : expungeIssued;
  await session.write(conditionResponse(null, 'OK', 'Moved', { code: 'COPYUID', ...moved }));
  return ok('MOVE completed');
}

export async function expungeCommand(session: ImapSession, { uids: named }: CommandOf<'EXPUNGE'>): Promise<Outcome> {
  const { account, view } = session.selected;
  if (view.isReadOnly) return readOnly;
  const uids = named === null ? null : view.uidsOfUids(named);
  if (uids === null || uids.length > 0) {
    await session.services.store.expunge(account.accountId, view.mailboxId, uids);
    session.markStale();
  }
  return ok('EXPUNGE completed');
}
