/** FETCH and UID FETCH (RFC 3501 sections 6.4.5 and 7.4.2). */
import { flagBits } from '#server/mail/flags.ts';
import { MailError } from '#server/mail/mail-error.ts';
import { forEachUidIn } from '#server/mail/mailbox-page.ts';
import type { FetchedMessage, FetchWants } from '#server/mail/ports.ts';
import { uidSetOf } from '#server/mail/uid-set.ts';
import type { FetchItem } from '../grammar/command.ts';
import { formatFetchItemName } from '../grammar/fetch-att.ts';
import { fetchBegin, fetchEnd, formatFetchFlags, literalBegin } from '../grammar/response.ts';
import type { MessageFlags } from '../state/mailbox-view.ts';
import type { ImapSession } from '../state/session.ts';
import type { CommandOf } from './command-of.ts';
import { bytesAtHand, chunksOf, isBodyItem, setsSeen, spanBytes, spansOf, type BodyItem } from './fetch-section.ts';
import { attribute, wanted, writeLines } from './fetch-lines.ts';
import { expungeIssued, namedUids, noSuchNumber } from './messages.ts';
import { ok, type Outcome } from './outcome.ts';
import { Turns } from './turns.ts';

export async function fetchCommand(session: ImapSession, command: CommandOf<'FETCH'>): Promise<Outcome> {
  const { account, view } = session.selected;
  const uids = namedUids(session, command.set, command.byUid);
  if (uids === null) return noSuchNumber;
  if (uids.length === 0) return ok('FETCH completed');
  const marksSeen = !view.isReadOnly && command.items.some(setsSeen);
  const items = itemsOf(command);
  const fields = marksSeen || view.countIn(uids) === 1 ? null : fieldsOf(items);
  const wants = wantsOf(items, { marksSeen, fields });
  const hasBodies = fields === null && items.some(isBodyItem);
  const turns = new Turns(session.services.clock);
  const names = new Map(items.filter(isBodyItem).map((item) => [item, formatFetchItemName(item)]));
  let answered = 0;
  if (session.isStale) session.fetchAhead.drop();
  const ahead = await session.fetchAhead.take({ account, view }, uids, wants);
  const batches = ahead ? [[ahead]] : session.services.store.fetch(account.accountId, view.mailboxId, uids, wants);
  for await (const batch of batches) {
    const seen = marksSeen ? await markSeen(session, batch) : noneSeen;
    const answer = { items, names, seen, turns };
    answered += hasBodies ? await writeMessages(session, batch, answer) : await writeLines(session, batch, answer);
  }
  // RFC 2180 section 4.1.2: what is left was sent.
  return !command.byUid && answered < view.countIn(uids) ? expungeIssued : ok('FETCH completed');
}

/** RFC 3501 section 6.4.8: UID FETCH always tells the UID. */
function itemsOf({ byUid, items }: CommandOf<'FETCH'>): readonly FetchItem[] {
  return byUid && !items.some(({ kind }) => kind === 'UID') ? [{ kind: 'UID' }, ...items] : items;
}

/** The header fields that are wanted of many messages, and nothing else of their bytes; else null. */
function fieldsOf(items: readonly FetchItem[]): readonly string[] | null {
  const [item, another] = items.filter(isBodyItem);
  if (another !== undefined || item?.kind !== 'BODY[]' || item.partial !== null) return null;
  const { path, text } = item.section;
  return path.length === 0 && text?.kind === 'HEADER.FIELDS' ? text.fields : null;
}

function wantsOf(
  items: readonly FetchItem[],
  { marksSeen, fields }: { readonly marksSeen: boolean; readonly fields: readonly string[] | null },
): FetchWants {
  const kinds = new Set(items.map(({ kind }) => kind));
  return {
    ...((marksSeen || kinds.has('FLAGS')) && { flags: true }),
    ...(kinds.has('INTERNALDATE') && { internalDate: true }),
    ...(kinds.has('RFC822.SIZE') && { size: true }),
    ...(kinds.has('ENVELOPE') && { envelope: true }),
    ...((kinds.has('BODYSTRUCTURE') || kinds.has('BODY')) && { bodystructure: true }),
    ...(fields !== null && { headerFields: fields }),
    ...(fields === null && items.some(isBodyItem) && { content: true }),
  };
}

type NewFlags = ReadonlyMap<number, MessageFlags>;
const noneSeen: NewFlags = new Map();

/**
 * Marks those of the batch that aren't \Seen yet; gives their new flags. When that can't be written the messages are
 * shown all the same.
 */
async function markSeen(session: ImapSession, batch: readonly FetchedMessage[]): Promise<NewFlags> {
  const { account, view } = session.selected;
  const uids = uidSetOf(batch.filter(({ flags = 0 }) => (flags & flagBits.seen) === 0).map(({ uid }) => uid));
  if (uids.length === 0) return noneSeen;
  const change = { mode: 'add', flags: flagBits.seen, keywords: [] } as const;
  try {
    const state = await session.services.store.storeFlags(account.accountId, view.mailboxId, uids, change);
    const flags = new Map<number, MessageFlags>();
    for (const page of state.pages) {
      forEachUidIn(page, uids, (uid) => {
        const message = view.flagsIn(page, state.mailbox, uid);
        if (message !== null) flags.set(uid, message);
      });
    }
    view.markTold(uids, state.mailbox.highestModSeq);
    if (!view.noteStored(state)) session.markStale();
    return flags;
  } catch (error) {
    if (!(error instanceof MailError)) throw error;
    session.logger.warn({ event: 'imap.seen', fault: error.fault.kind }, 'messages could not be marked as seen');
    return noneSeen;
  }
}

type Answer = {
  readonly items: readonly FetchItem[];
  /** Some are long, and the same in every message. */
  readonly names: ReadonlyMap<BodyItem, string>;
  readonly seen: NewFlags;
  readonly turns: Turns;
};

/** Resolves with how many of the messages the client knows. */
async function writeMessages(session: ImapSession, batch: readonly FetchedMessage[], answer: Answer): Promise<number> {
  const { view } = session.selected;
  let answered = 0;
  for (const message of batch) {
    const seq = view.seqOf(message.uid);
    if (seq === 0) continue;
    answered += 1;
    await writeMessage(session, seq, message, answer);
  }
  return answered;
}

async function writeMessage(
  session: ImapSession,
  seq: number,
  message: FetchedMessage,
  { items, names, seen: newFlags, turns }: Answer,
): Promise<void> {
  const seen = newFlags.get(message.uid) ?? null;
  const response: Response = { text: fetchBegin(seq), isBegun: false };
  let separator = '';
  try {
    for (const item of items) {
      response.text += separator;
      separator = ' ';
      // A line has room for thousands of items, each a look through a large header.
      const pause = turns.pause();
      if (pause !== null) await pause;
      if (isBodyItem(item)) await writeBody(session, response, { message, item, name: wanted(names.get(item)) });
      else response.text += attribute(session, message, item, seen);
    }
  } catch (error) {
    // Inside a response nothing else can be said: the client has to see that it broke off.
    if (response.isBegun) session.connection.destroy();
    throw error;
  }
  // RFC 3501 section 6.4.5: flags that the command itself changed are told with it.
  if (seen !== null && !items.some(({ kind }) => kind === 'FLAGS'))
    response.text += ` ${formatFetchFlags(seen.flags, seen.keywords, seen.isRecent)}`;
  await session.write(response.text + fetchEnd);
}

/** One message's answer: what is not written yet, and whether some of it was. */
type Response = { text: string; isBegun: boolean };

async function writeBody(
  session: ImapSession,
  response: Response,
  { message, item, name }: { readonly message: FetchedMessage; readonly item: BodyItem; readonly name: string },
): Promise<void> {
  const content = wanted(message.content);
  const bytes = bytesAtHand(content, item);
  if (bytes !== null) {
    const length = bytes.reduce((sum, chunk) => sum + chunk.length, 0);
    response.isBegun = true;
    await session.write(`${response.text}${name} ${literalBegin(length)}`);
    response.text = '';
    for (const chunk of bytes) await session.write(chunk);
    return;
  }
  const spans = await spansOf(content, item);
  if (spans === null) {
    response.text += `${name} NIL`;
    return;
  }
  let left = spanBytes(spans);
  const chunks = chunksOf(content, spans)[Symbol.asyncIterator]();
  // Before the size is announced: until then the command can still be refused.
  let chunk = await chunks.next();
  response.isBegun = true;
  await session.write(`${response.text}${name} ${literalBegin(left)}`);
  response.text = '';
  try {
    for (; chunk.done !== true; chunk = await chunks.next()) {
      left -= chunk.value.length;
      if (left < 0) break;
      await session.write(chunk.value);
    }
  } finally {
    await chunks.return();
  }
  if (left !== 0) throw new Error(`a body has ${left} bytes less than was announced`);
}
