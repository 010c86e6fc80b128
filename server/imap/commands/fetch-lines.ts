/** What FETCH tells of a message but for its bytes, and lines of it for many messages (RFC 3501 section 7.4.2). */
import type { FetchedMessage } from '#server/mail/ports.ts';
import { bodyWithoutExtensions } from '#server/mime/bodystructure.ts';
import { unreachable } from '#shared/base/unreachable.ts';
import type { FetchItem } from '../grammar/command.ts';
import { formatDateTime } from '../grammar/date-time.ts';
import { fetchEnd, formatFetchFlags, literalBegin } from '../grammar/response.ts';
import type { MessageFlags } from '../state/mailbox-view.ts';
import type { ImapSession } from '../state/session.ts';
import { isBodyItem, type BodyItem } from './fetch-section.ts';
import { LineBuffer } from './line-buffer.ts';
import type { Turns } from './turns.ts';

/** Bytes that are gathered before they are written. */
const gatheredBytes = 64 * 1024;

type Put = (line: LineBuffer, message: FetchedMessage) => void;

/** Of messages whose bytes nobody wants, but for `headerFields`. Resolves with how many of them the client knows. */
export async function writeLines(
  session: ImapSession,
  batch: readonly FetchedMessage[],
  o: { readonly items: readonly FetchItem[]; readonly names: ReadonlyMap<BodyItem, string>; readonly turns: Turns },
): Promise<number> {
  const { view } = session.selected;
  const puts = o.items.map((item) => putterOf(session, item, o.names));
  using lines = new LineBuffer();
  let answered = 0;
  let before = { uid: 0, seq: 0 };
  for (const message of batch) {
    const { uid } = message;
    // Most come one after the other.
    const seq = uid === before.uid + 1 && view.has(uid) ? before.seq + 1 : view.seqOf(uid);
    if (seq === 0) continue;
    before = { uid, seq };
    answered += 1;
    lines.text('* ');
    lines.number(seq);
    lines.text(' FETCH (');
    for (let i = 0; i < puts.length; i++) {
      if (i > 0) lines.text(' ');
      puts[i]?.(lines, message);
    }
    lines.text(fetchEnd);
    if (lines.length < gatheredBytes) continue;
    await session.write(lines.bytes);
    lines.clear();
    const pause = o.turns.pause();
    if (pause !== null) await pause;
  }
  if (lines.length > 0) await session.write(lines.bytes);
  return answered;
}

function putterOf(session: ImapSession, item: FetchItem, names: ReadonlyMap<BodyItem, string>): Put {
  if (isBodyItem(item)) {
    const name = wanted(names.get(item));
    return (line, message) => {
      const fields = wanted(message.headerFields);
      line.text(`${name} ${literalBegin(fields.length)}`);
      line.text(fields);
    };
  }
  switch (item.kind) {
    case 'UID':
      return (line, message) => {
        line.text('UID ');
        line.number(message.uid);
      };
    case 'RFC822.SIZE':
      return (line, message) => {
        line.text('RFC822.SIZE ');
        line.number(wanted(message.size));
      };
    case 'ENVELOPE':
      return (line, message) => {
        line.text('ENVELOPE ');
        line.text(wanted(message.envelope));
      };
    case 'BODYSTRUCTURE':
      return (line, message) => {
        line.text('BODYSTRUCTURE ');
        line.text(wanted(message.bodystructure));
      };
    case 'FLAGS':
    case 'INTERNALDATE':
    case 'BODY':
      return (line, message) => line.text(attribute(session, message, item, null));
    default:
      return unreachable(item);
  }
}

/** `seen`: flags that the command itself has just changed. */
export function attribute(
  session: ImapSession,
  message: FetchedMessage,
  item: Exclude<FetchItem, BodyItem>,
  seen: MessageFlags | null,
): string {
  switch (item.kind) {
    case 'UID':
      return `UID ${message.uid}`;
    case 'FLAGS': {
      const { flags = 0, keywords = [] } = message;
      const isRecent = session.selected.view.isRecent(message.uid);
      return seen
        ? formatFetchFlags(seen.flags, seen.keywords, seen.isRecent)
        : formatFetchFlags(flags, keywords, isRecent);
    }
    case 'INTERNALDATE':
      return `INTERNALDATE ${formatDateTime(wanted(message.internalDate))}`;
    case 'RFC822.SIZE':
      return `RFC822.SIZE ${wanted(message.size)}`;
    case 'ENVELOPE':
      return `ENVELOPE ${wanted(message.envelope)}`;
    case 'BODYSTRUCTURE':
      return `BODYSTRUCTURE ${wanted(message.bodystructure)}`;
    case 'BODY':
      return `BODY ${bodyWithoutExtensions(wanted(message.bodystructure))}`;
    default:
      return unreachable(item);
  }
}

export function wanted<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('what was wanted is not there');
  return value;
}
