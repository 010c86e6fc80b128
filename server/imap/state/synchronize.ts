/**
 * Brings a session's view up to date and tells the client (RFC 3501 sections 5.2, 7.3 and 7.4.1). The state is
 * read and complete before the first byte is written.
 */
import type { ModSeq } from '#shared/base/ids.ts';
import type { FlagList } from '../grammar/command.ts';
import { fetchBegin, fetchEnd, flagsResponse, formatFetchFlags, numberResponse } from '../grammar/response.ts';
import type { MailboxView, MessageFlags, ViewChanges } from './mailbox-view.ts';
import type { ImapSession } from './session.ts';
import { flagBits, type FlagBits } from '#server/mail/flags.ts';
import { MailError } from '#server/mail/mail-error.ts';
import type { MailboxState } from '#server/mail/ports.ts';

/**
 * Reads what changed into the view, without telling; false: the mailbox is gone and the session was ended. `enough`: the
 * moment from which on a state has all that is news; null: as it is now.
 */
export async function refresh(session: ImapSession, enough: ModSeq | null = session.newsModSeq): Promise<boolean> {
  const { account, view } = session.selected;
  const { store } = session.services;
  session.markFresh();
  try {
    const state = await store.readState(account.accountId, view.mailboxId, view.modSeq, enough);
    if (state === null) {
      // RFC 2180 section 3.3: the other way would be to keep a mailbox that nobody has any more.
      await session.bye('The selected mailbox was deleted');
      return false;
    }
    const firstNew = view.uidNext;
    view.update(state);
    if (state.mailbox.uidNext > firstNew) {
      view.addRecent(Math.max(firstNew, await firstRecent(session, view, state)));
    }
    return true;
  } catch (error) {
    session.markStale();
    throw error;
  }
}

/** The first UID that is \Recent in a session that has just read `state`; a read-write one takes them (section 2.3.2). */
export async function firstRecent(
  session: ImapSession,
  view: MailboxView,
  state: Pick<MailboxState, 'mailbox'>,
): Promise<number> {
  const { uidNext, recentFrom } = state.mailbox;
  if (view.isReadOnly || recentFrom >= uidNext) return recentFrom;
  const { store } = session.services;
  try {
    return await store.claimRecent(session.authenticated.account.accountId, view.mailboxId, uidNext);
  } catch (error) {
    // With a full disk mail can still be read; who else sees the messages as \Recent matters less.
    if (error instanceof MailError && error.fault.kind === 'storage-full') return recentFrom;
    throw error;
  }
}

/** Refreshes where something may have changed, or always when `always`, and writes the untagged responses. */
export async function synchronize(
  session: ImapSession,
  { always, mayExpunge }: { readonly always: boolean; readonly mayExpunge: boolean },
): Promise<void> {
  if (session.state.at !== 'selected') return;
  const { view } = session.state;
  const enough = always ? null : session.newsModSeq;
  if ((always || session.isStale) && !(await refresh(session, enough))) return;
  await writeChanges(session, view.take({ mayExpunge }));
}

async function writeChanges(session: ImapSession, changes: ViewChanges): Promise<void> {
  await writeGathered(session, changes.expunged, (seq) => numberResponse(seq, 'EXPUNGE'));
  if (changes.exists !== null) {
    await session.write(numberResponse(changes.exists, 'EXISTS') + numberResponse(changes.recent, 'RECENT'));
  }
  if (changes.keywords !== null) await session.write(flagsResponse(allFlags(changes.keywords)));
  await writeGathered(session, changes.flags, (message) => flagsFetchResponse(message, false));
}

/** Characters that are gathered before they are written: to wait for each of many short lines takes longer than to make them. */
const gatheredLength = 16 * 1024;

/** Writes a response for each. */
export async function writeGathered<T>(
  session: ImapSession,
  all: readonly T[],
  format: (one: T) => string,
): Promise<void> {
  let lines = '';
  for (const one of all) {
    lines += format(one);
    if (lines.length < gatheredLength) continue;
    await session.write(lines);
    lines = '';
  }
  if (lines !== '') await session.write(lines);
}

const allSystemFlags: FlagBits =
  flagBits.seen | flagBits.answered | flagBits.flagged | flagBits.deleted | flagBits.draft;

/** What a message of a mailbox with these keywords may have. */
export function allFlags(keywords: readonly string[]): FlagList {
  return { flags: allSystemFlags, keywords };
}

/** RFC 3501 section 7.4.2, FETCH with FLAGS; with the UID where the command named UIDs (section 6.4.8). */
export function flagsFetchResponse(message: MessageFlags, withUid: boolean): string {
  const uid = withUid ? `UID ${message.uid} ` : '';
  const flags = formatFetchFlags(message.flags, message.keywords, message.isRecent);
  return fetchBegin(message.seq) + uid + flags + fetchEnd;
}
