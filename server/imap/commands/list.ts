/** LIST and LSUB (RFC 3501 sections 6.3.8 and 6.3.9; RFC 5258 as far as RFC 6154 and RFC 3348 need it). */
import { parentsOf } from '#server/mail/mailbox-name.ts';
import type { Mailbox } from '#server/mail/mailbox.ts';
import { listResponse, listRootResponse } from '../grammar/response.ts';
import type { ImapSession } from '../state/session.ts';
import type { CommandOf } from './command-of.ts';
import { fullPattern, matchesPattern } from './list-match.ts';
import { ok, type Outcome } from './outcome.ts';
import { Turns } from './turns.ts';

/** A name that LIST may show: a mailbox, a level above one, or a subscription to one that is no more. */
type Named = { readonly name: string; readonly mailbox: Mailbox | null; readonly isSubscribed: boolean };

export async function listCommand(session: ImapSession, command: CommandOf<'LIST'>): Promise<Outcome> {
  const { reference, patterns, select } = command;
  if (patterns.length === 1 && patterns[0] === '') {
    await session.write(listRootResponse('LIST'));
    return ok('LIST completed');
  }
  const { store } = session.services;
  const { accountId } = session.authenticated.account;
  const mailboxes = await store.listMailboxes(accountId);
  const needsSubscriptions = select.includes('SUBSCRIBED') || command.returns.includes('SUBSCRIBED');
  const subscribed = new Set(needsSubscriptions ? await store.listSubscriptions(accountId) : []);
  const withChildren = new Set(mailboxes.flatMap(({ name }) => parentsOf(name)));
  const wanted = patterns.map((pattern) => fullPattern(reference, pattern));
  const matches = matcher(session, wanted);
  for (const named of namesOf(mailboxes, subscribed)) {
    if (select.includes('SUBSCRIBED') && !named.isSubscribed) continue;
    if (select.includes('SPECIAL-USE') && !named.mailbox?.specialUse) continue;
    if (!select.includes('SUBSCRIBED') && named.mailbox === null && !withChildren.has(named.name)) continue;
    if (!(await matches(named.name))) continue;
    await session.write(listResponse('LIST', attributesOf(named, withChildren, needsSubscriptions), named.name));
  }
  return ok('LIST completed');
}

/** Whether any of the patterns means a name: many names and long patterns take their time. */
function matcher({ services: { clock } }: ImapSession, patterns: readonly string[]) {
  const turns = new Turns(clock);
  return async (name: string): Promise<boolean> => {
    for (const pattern of patterns) {
      const pause = turns.pause();
      if (pause !== null) await pause;
      if (matchesPattern(pattern, name)) return true;
    }
    return false;
  };
}

/** By name; levels without a mailbox of their own too. */
function namesOf(mailboxes: readonly Mailbox[], subscribed: ReadonlySet<string>): readonly Named[] {
  const named = new Map<string, Named>();
  for (const mailbox of mailboxes) {
    named.set(mailbox.name, { name: mailbox.name, mailbox, isSubscribed: subscribed.has(mailbox.name) });
  }
  const others = [...mailboxes.flatMap(({ name }) => parentsOf(name)), ...subscribed];
  for (const name of others) {
    if (!named.has(name)) named.set(name, { name, mailbox: null, isSubscribed: subscribed.has(name) });
  }
  return [...named.values()].sort(byName);
}

/** INBOX first, then as the store gives them. */
function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  if (a.name === 'INBOX' || b.name === 'INBOX') return a.name === b.name ? 0 : a.name === 'INBOX' ? -1 : 1;
  return a.name < b.name ? -1 : 1;
}

function attributesOf(
  { name, mailbox, isSubscribed }: Named,
  withChildren: ReadonlySet<string>,
  showSubscribed: boolean,
): readonly string[] {
  const hasChildren = withChildren.has(name);
  const attributes: string[] = [];
  // RFC 5258 section 3: \NonExistent for a subscription whose mailbox is no more, which RFC 3501 calls \Noselect.
  if (mailbox === null) attributes.push(hasChildren ? String.raw`\Noselect` : String.raw`\NonExistent`);
  attributes.push(hasChildren ? String.raw`\HasChildren` : String.raw`\HasNoChildren`);
  if (showSubscribed && isSubscribed) attributes.push(String.raw`\Subscribed`);
  // RFC 6154 section 2 allows them in every LIST.
  if (mailbox?.specialUse) attributes.push(`\\${mailbox.specialUse}`);
  return attributes;
}

/** RFC 3501 section 6.3.9, with its rule for `%`: a level above a subscription is shown with \Noselect. */
export async function lsubCommand(session: ImapSession, { reference, pattern }: CommandOf<'LSUB'>): Promise<Outcome> {
  if (pattern === '') {
    await session.write(listRootResponse('LSUB'));
    return ok('LSUB completed');
  }
  const { store } = session.services;
  const subscribed = await store.listSubscriptions(session.authenticated.account.accountId);
  const wanted = fullPattern(reference, pattern);
  const matches = matcher(session, [wanted]);
  const shown = new Map<string, boolean>();
  for (const name of subscribed) if (await matches(name)) shown.set(name, false);
  if (wanted.endsWith('%')) {
    const levels = new Set(subscribed.filter((name) => !shown.has(name)).flatMap(parentsOf));
    for (const level of levels) if (!shown.has(level) && (await matches(level))) shown.set(level, true);
  }
  const sorted = [...shown].map(([name, isLevel]) => ({ name, isLevel })).sort(byName);
  for (const { name, isLevel } of sorted) {
    await session.write(listResponse('LSUB', isLevel ? [String.raw`\Noselect`] : [], name));
  }
  return ok('LSUB completed');
}
