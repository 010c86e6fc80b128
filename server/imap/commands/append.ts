import { MailError } from '#server/mail/mail-error.ts';
import type { Mailbox } from '#server/mail/mailbox.ts';
import { ConnectionLost } from '#server/wire/connection.ts';
import type { ImapSession } from '../state/session.ts';
import type { CommandOf } from './command-of.ts';
import { namedMailbox } from './mailboxes.ts';
import { bad, no, ok, type Outcome } from './outcome.ts';

/** The message that follows. */
export type AnnouncedLiteral = { readonly bytes: number; readonly synchronizing: boolean };

/** Bytes of a refused message that come all the same (LITERAL+) and are read over; for more the client is dropped. */
const maxSkippedBytes = 256 * 1024 * 1024;
const maxSkippedBytesBeforeLogin = 64 * 1024;

/** Of a message that the client sends without being asked to (LITERAL+): it is read whatever becomes of it. */
const maxTakenBytes = 128 * 1024;

/** RFC 3501 section 6.3.11, RFC 4315 section 3. What can be refused is refused before the message is sent. */
export async function appendCommand(
  session: ImapSession,
  command: CommandOf<'APPEND'>,
  literal: AnnouncedLiteral,
): Promise<Outcome> {
  const { store, policy, createSpool } = session.services;
  const { accountId } = session.authenticated.account;
  const isTaken =
    !session.isShortOfRoom &&
    !literal.synchronizing &&
    literal.bytes > 0 &&
    literal.bytes <= Math.min(maxTakenBytes, policy.maxMessageBytes);
  // Whether the mailbox is there and the account has room shows when it is stored.
  const target = isTaken ? command.mailbox : (await admit(session, command, literal)).id;
  if (literal.bytes === 0) {
    // RFC 3502 section 6.3.11: nothing to append is a client that changed its mind.
    if (literal.synchronizing) await session.continue('Ready for the rest');
    return (await endOfCommand(session)) ?? no('An empty message is not stored');
  }
  await using spool = createSpool(policy.maxMessageBytes);
  if (literal.synchronizing) await session.continue('Ready for the message');
  for await (const piece of session.literal(policy.transferTimeoutMs)) {
    const written = spool.write(piece);
    if (written !== null) await written;
  }
  if (!session.hasWholeLiteral) throw new ConnectionLost('the client went away inside a message');
  const fault = await endOfCommand(session);
  if (fault !== null) return fault;
  await using message = await spool.finish();
  // RFC 3501 section 9 "literal": CHAR8 has no NUL, so it could not be given back.
  if (message.index.hasNul) return no('A message must not have NUL bytes', 'CANNOT');
  const { flags, keywords } = command.flags;
  const item = { message, flags, keywords, internalDate: command.internalDate };
  const { mailboxId, uidValidity, uids } = await store.append(accountId, target, [item]).catch((error: unknown) => {
    // Its bytes are in the database until the next sweep: such must not become many.
    session.isShortOfRoom ||= error instanceof MailError && error.fault.kind === 'over-quota';
    throw error;
  });
  session.isShortOfRoom = false;
  if (session.state.at === 'selected' && session.state.view.mailboxId === mailboxId) session.markStale();
  return ok('APPEND completed', { code: 'APPENDUID', uidValidity, uids });
}

/** The mailbox that the message may come into; where it may not, the message is let go of. */
async function admit(session: ImapSession, command: CommandOf<'APPEND'>, literal: AnnouncedLiteral): Promise<Mailbox> {
  try {
    // Both are asked at once; where both refuse, the mailbox is the reason that helps (TRYCREATE).
    const room = mayAppend(session, literal.bytes);
    room.catch(() => undefined);
    const mailbox = await namedMailbox(session, command.mailbox);
    await room;
    return mailbox;
  } catch (error) {
    await refuseLiteral(session, literal);
    throw error;
  }
}

/** The command is whole only at the end of its line; null: it is. */
async function endOfCommand(session: ImapSession): Promise<Outcome | null> {
  for (;;) {
    const frame = await session.nextFrame(session.services.policy.transferTimeoutMs);
    if (frame === 'interrupted') continue;
    if (typeof frame === 'string') throw new ConnectionLost('the client went away inside a command');
    if (frame.kind === 'append-end') return null;
    const text = frame.kind === 'fault' ? frame.text : 'APPEND: expected the end of the line';
    if (frame.kind === 'fault' && frame.close) await session.bye('The command can not be read');
    return bad(text);
  }
}

async function mayAppend(session: ImapSession, bytes: number): Promise<void> {
  const { store, policy } = session.services;
  if (bytes > policy.maxMessageBytes) throw new MailError({ kind: 'too-big', limitBytes: policy.maxMessageBytes });
  const { usedBytes, limitBytes } = await store.quota(session.authenticated.account.accountId);
  if (limitBytes !== null && usedBytes + bytes > limitBytes) throw new MailError({ kind: 'over-quota', limitBytes });
}

/** Lets go of the message of an APPEND that is refused. */
export async function refuseLiteral(session: ImapSession, literal: AnnouncedLiteral): Promise<void> {
  const bound = session.state.at === 'not-authenticated' ? maxSkippedBytesBeforeLogin : maxSkippedBytes;
  if (!literal.synchronizing && literal.bytes > bound) {
    await session.bye('The message is too big');
    return;
  }
  session.skipLiteral();
}
