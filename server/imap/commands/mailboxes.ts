/** CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE and STATUS (RFC 3501 sections 6.3.3 to 6.3.7 and 6.3.10). */
import { MailError } from '#server/mail/mail-error.ts';
import { newMailboxName } from '#server/mail/mailbox-name.ts';
import type { Mailbox, SpecialUse } from '#server/mail/mailbox.ts';
import { uidSet } from '#server/mail/uid-set.ts';
import { unreachable } from '#shared/base/unreachable.ts';
import type { StatusItem } from '../grammar/command.ts';
import { statusResponse } from '../grammar/response.ts';
import type { ImapSession } from '../state/session.ts';
import type { CommandOf } from './command-of.ts';
import { no, ok, type Outcome } from './outcome.ts';

const specialUses: readonly SpecialUse[] = ['Archive', 'Drafts', 'Junk', 'Sent', 'Trash'];

export async function createCommand(session: ImapSession, { mailbox, use }: CommandOf<'CREATE'>): Promise<Outcome> {
  const { store } = session.services;
  const { accountId } = session.authenticated.account;
  const specialUse = chosenUse(use);
  // RFC 6154 section 3: a use we don't know, or more than one for a mailbox.
  if (specialUse === 'unusable') return no('This special use can not be had', 'USEATTR');
  if (specialUse !== null) {
    const mailboxes = await store.listMailboxes(accountId);
    if (mailboxes.some((other) => other.specialUse === specialUse)) {
      return no('Another mailbox has this special use', 'USEATTR');
    }
  }
  await store.createMailbox(accountId, newMailboxName(mailbox), specialUse);
  return ok('CREATE completed');
}

function chosenUse(use: readonly string[] | null): SpecialUse | null | 'unusable' {
  const [name, ...others] = use ?? [];
  if (name === undefined) return null;
  const known = specialUses.find((special) => special.toLowerCase() === name.toLowerCase());
  return known === undefined || others.length > 0 ? 'unusable' : known;
}

/** By name; MailError where there is none. */
export async function namedMailbox(session: ImapSession, name: string): Promise<Mailbox> {
  const found = await session.services.store.findMailbox(session.authenticated.account.accountId, name);
  if (found === null) throw new MailError({ kind: 'no-such-mailbox', name });
  return found;
}

export async function deleteCommand(session: ImapSession, { mailbox }: CommandOf<'DELETE'>): Promise<Outcome> {
  const { id } = await namedMailbox(session, mailbox);
  await session.services.store.deleteMailbox(session.authenticated.account.accountId, id);
  // The client that does it to its own mailbox knows; other sessions hear BYE (RFC 2180 section 3.3).
  if (session.state.at === 'selected' && session.state.view.mailboxId === id) session.deselect();
  return ok('DELETE completed');
}

export async function renameCommand(session: ImapSession, { from, to }: CommandOf<'RENAME'>): Promise<Outcome> {
  const { id } = await namedMailbox(session, from);
  await session.services.store.renameMailbox(session.authenticated.account.accountId, id, newMailboxName(to));
  return ok('RENAME completed');
}

export async function subscribeCommand(
  session: ImapSession,
  { verb, mailbox }: CommandOf<'SUBSCRIBE' | 'UNSUBSCRIBE'>,
): Promise<Outcome> {
  const isWanted = verb === 'SUBSCRIBE';
  // RFC 3501 section 6.3.6: the name may be looked at; removing one of a mailbox that is no more must go.
  if (isWanted) await namedMailbox(session, mailbox);
  await session.services.store.setSubscribed(session.authenticated.account.accountId, mailbox, isWanted);
  return ok(`${verb} completed`);
}

export async function statusCommand(
  session: ImapSession,
  { mailbox: name, items }: CommandOf<'STATUS'>,
): Promise<Outcome> {
  const mailbox = await namedMailbox(session, name);
  const recent = items.includes('RECENT') ? await recentMessages(session, mailbox) : 0;
  const values = items.map((item) => [item, statusValue(mailbox, item, recent)] as const);
  await session.write(statusResponse(mailbox.name, values));
  return ok('STATUS completed');
}

function statusValue(mailbox: Mailbox, item: StatusItem, recent: number): number {
  switch (item) {
    case 'MESSAGES':
      return mailbox.messages;
    case 'RECENT':
      return recent;
    case 'UIDNEXT':
      return mailbox.uidNext;
    case 'UIDVALIDITY':
      return mailbox.uidValidity;
    case 'UNSEEN':
      return mailbox.unseen;
    default:
      return unreachable(item);
  }
}

/** Messages from `recentFrom` on, which is most often none: only then are they counted one by one. */
async function recentMessages(session: ImapSession, mailbox: Mailbox): Promise<number> {
  if (mailbox.recentFrom >= mailbox.uidNext) return 0;
  const { store } = session.services;
  let count = 0;
  const uids = uidSet([[mailbox.recentFrom, mailbox.uidNext - 1]]);
  for await (const batch of store.fetch(session.authenticated.account.accountId, mailbox.id, uids, {})) {
    count += batch.length;
  }
  return count;
}
