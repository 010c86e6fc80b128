/** SEARCH and UID SEARCH (RFC 3501 section 6.4.4). */
import type { SearchQuery } from '#server/mail/query.ts';
import type { UidSet } from '#server/mail/uid-set.ts';
import { ConnectionLost } from '#server/wire/connection.ts';
import { unreachable } from '#shared/base/unreachable.ts';
import { flagBits } from '#server/mail/flags.ts';
import type { SearchKey } from '../grammar/command.ts';
import { searchResponse } from '../grammar/response.ts';
import type { MailboxView } from '../state/mailbox-view.ts';
import type { ImapSession } from '../state/session.ts';
import type { CommandOf } from './command-of.ts';
import { noSuchNumber } from './messages.ts';
import { ok, type Outcome } from './outcome.ts';

export async function searchCommand(session: ImapSession, { byUid, key }: CommandOf<'SEARCH'>): Promise<Outcome> {
  const { account, view } = session.selected;
  const query = searchQuery(key, view);
  if (query === null) return noSuchNumber;
  const { signal } = session.connection;
  const search = session.services.store.search(account.accountId, view.mailboxId, query, signal);
  const found = await search.catch((error: unknown) => {
    if (signal.aborted && error instanceof Error && error.name === 'AbortError') {
      throw new ConnectionLost('the client went away during a search', { cause: error });
    }
    throw error;
  });
  const numbers: number[] = [];
  for (const uid of found) {
    // Messages that the client hasn't been told of have no number yet.
    const seq = view.seqOf(uid);
    if (seq > 0) numbers.push(byUid ? uid : seq);
  }
  await session.write(searchResponse(numbers));
  return ok('SEARCH completed');
}

/** Turns what only a session knows (numbers, '*', \Recent) into UIDs. Pure; null: no such sequence number. */
function searchQuery(key: SearchKey, view: MailboxView): SearchQuery | null {
  switch (key.kind) {
    case 'ALL':
      return { kind: 'all' };
    case 'RECENT':
      return { kind: 'uids', uids: view.recent };
    case 'OLD':
      return { kind: 'not', of: { kind: 'uids', uids: view.recent } };
    case 'NEW':
      return {
        kind: 'and',
        of: [
          { kind: 'uids', uids: view.recent },
          { kind: 'not', of: { kind: 'flags', flags: flagBits.seen } },
        ],
      };
    case 'flag':
      return sense({ kind: 'flags', flags: key.flag }, key.set);
    case 'keyword':
      return sense({ kind: 'keyword', keyword: key.keyword }, key.set);
    case 'header':
    case 'internal-date':
    case 'sent-date':
      return key;
    case 'BODY':
      return { kind: 'body', contains: key.contains };
    case 'TEXT':
      return { kind: 'text', contains: key.contains };
    case 'LARGER':
      return { kind: 'larger', bytes: key.bytes };
    case 'SMALLER':
      return { kind: 'smaller', bytes: key.bytes };
    case 'UID':
      return { kind: 'uids', uids: view.uidsOfUids(key.set) };
    case 'sequence':
      return uidsQuery(view.uidsOfSequence(key.set));
    case 'NOT': {
      const of = searchQuery(key.key, view);
      return of && { kind: 'not', of };
    }
    case 'OR':
      return joined('or', key.keys, view);
    case 'AND':
      return joined('and', key.keys, view);
    default:
      return unreachable(key);
  }
}

function sense(query: SearchQuery, isSet: boolean): SearchQuery {
  return isSet ? query : { kind: 'not', of: query };
}

function uidsQuery(uids: UidSet | null): SearchQuery | null {
  return uids && { kind: 'uids', uids };
}

function joined(kind: 'and' | 'or', keys: readonly SearchKey[], view: MailboxView): SearchQuery | null {
  const of: SearchQuery[] = [];
  for (const key of keys) {
    const query = searchQuery(key, view);
    if (query === null) return null;
    of.push(query);
  }
  return { kind, of };
}
