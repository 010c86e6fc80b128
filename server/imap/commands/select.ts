/** SELECT, EXAMINE, CLOSE and UNSELECT (RFC 3501 sections 6.3.1, 6.3.2, 6.4.2; RFC 3691). */
import { MailError } from '#server/mail/mail-error.ts';
import type { OpenedMailbox } from '#server/mail/ports.ts';
import { conditionResponse, flagsResponse, numberResponse } from '../grammar/response.ts';
import type { ResponseCode } from '../grammar/response-code.ts';
import { MailboxView } from '../state/mailbox-view.ts';
import type { ImapSession } from '../state/session.ts';
import { allFlags, firstRecent } from '../state/synchronize.ts';
import type { CommandOf } from './command-of.ts';
import { ok, type Outcome } from './outcome.ts';

export async function selectCommand(
  session: ImapSession,
  { verb, mailbox: name }: CommandOf<'SELECT' | 'EXAMINE'>,
): Promise<Outcome> {
  const isReadOnly = verb === 'EXAMINE';
  const wasSelected = session.state.at === 'selected';
  // RFC 3501 section 6.3.1: the old mailbox is left, also when the new one can't be had.
  session.deselect();
  if (wasSelected) await session.write(conditionResponse(null, 'OK', 'The previous mailbox is left', 'CLOSED'));
  session.watch();
  let opened: { readonly state: OpenedMailbox; readonly view: MailboxView };
  try {
    opened = await openMailbox(session, { name, isReadOnly });
  } catch (error) {
    session.deselect();
    throw error;
  }
  const { state, view } = opened;
  session.select(view);
  const { keywords, uidValidity, uidNext } = state.mailbox;
  const tell = (text: string, code: ResponseCode) => session.write(conditionResponse(null, 'OK', text, code));
  await session.write(flagsResponse(allFlags(keywords)));
  const permanent = isReadOnly ? { flags: 0, keywords: [] } : allFlags(keywords);
  await tell('Flags that can be set', { code: 'PERMANENTFLAGS', list: permanent, more: !isReadOnly });
  await session.write(numberResponse(view.exists, 'EXISTS'));
  await session.write(numberResponse(view.recentCount, 'RECENT'));
  if (state.firstUnseen !== null) {
    await tell('First unseen', { code: 'UNSEEN', number: view.seqOf(state.firstUnseen) });
  }
  await tell('UIDs are valid', { code: 'UIDVALIDITY', number: uidValidity });
  await tell('Next UID', { code: 'UIDNEXT', number: uidNext });
  return ok(`${verb} completed`, isReadOnly ? 'READ-ONLY' : 'READ-WRITE');
}

async function openMailbox(
  session: ImapSession,
  { name, isReadOnly }: { readonly name: string; readonly isReadOnly: boolean },
): Promise<{ readonly state: OpenedMailbox; readonly view: MailboxView }> {
  const { account } = session.authenticated;
  const state = await session.services.store.openMailbox(account.accountId, name);
  if (state === null) throw new MailError({ kind: 'no-such-mailbox', name });
  const view = new MailboxView(state, isReadOnly);
  view.addRecent(await firstRecent(session, view, state));
  return { state, view };
}

/** RFC 3501 section 6.4.2: what is marked \Deleted goes, without a word. */
export async function closeCommand(session: ImapSession): Promise<Outcome> {
  const { account, view } = session.selected;
  if (!view.isReadOnly) await session.services.store.expunge(account.accountId, view.mailboxId, null);
  session.deselect();
  return ok('CLOSE completed');
}

export function unselectCommand(session: ImapSession): Promise<Outcome> {
  session.deselect();
  return Promise.resolve(ok('UNSELECT completed'));
}
