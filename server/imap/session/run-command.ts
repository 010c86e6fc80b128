/** One command: may it run now, run it, say what changed, answer it (RFC 3501 sections 2.2, 5.2 and 7.1). */
import { MailError } from '#server/mail/mail-error.ts';
import { ConnectionLost } from '#server/wire/connection.ts';
import { unreachable } from '#shared/base/unreachable.ts';
import { commandSpec, type Invocation } from '../commands/command-table.ts';
import { faultToResponse } from '../commands/fault-to-response.ts';
import { refuseLiteral } from '../commands/append.ts';
import { bad, no, taggedResponse, type Outcome } from '../commands/outcome.ts';
import type { ImapCommand } from '../grammar/command.ts';
import type { ImapSession } from '../state/session.ts';
import { synchronize } from '../state/synchronize.ts';

export async function runCommand(session: ImapSession, command: ImapCommand, invocation: Invocation): Promise<void> {
  const { clock, metrics } = session.services;
  const { verb } = command;
  const startedMs = clock.monotonicMs();
  let status: Outcome['status'] = 'OK';
  try {
    const outcome = await outcomeOf(session, command, invocation);
    if (outcome !== null) {
      status = outcome.status;
      await session.write(taggedResponse(invocation.tag, outcome));
    }
    metrics.imapCommands.inc({ verb, outcome: status.toLowerCase() });
  } catch (error) {
    metrics.imapCommands.inc({ verb, outcome: 'aborted' });
    throw error;
  }
  session.logger.trace({ event: 'imap.command', verb, outcome: status }, 'command done');
  if (verb !== 'IDLE') metrics.imapCommandSeconds.observe({ verb }, (clock.monotonicMs() - startedMs) / 1000);
}

/** Null: answered already. */
async function outcomeOf(session: ImapSession, command: ImapCommand, invocation: Invocation): Promise<Outcome | null> {
  const spec = commandSpec(command.verb);
  if (!spec.states.includes(session.state.at)) {
    if (invocation.literal !== null) await refuseLiteral(session, invocation.literal);
    return bad(`${command.verb} can not be used ${placeInWords(session)}`);
  }
  let outcome: Outcome | null;
  try {
    outcome = await spec.run(session, command, invocation);
  } catch (error) {
    outcome = refusal(session, error, command);
  }
  const updates = spec.updates(command);
  if (updates === 'none') return outcome;
  try {
    const always = spec.alwaysReads === true;
    await synchronize(session, { always, mayExpunge: updates === 'all' });
  } catch (error) {
    // The command itself is done: what changed besides is told after a later one.
    session.reportFailure(error, command.verb);
  }
  return outcome;
}

function refusal(session: ImapSession, error: unknown, { verb }: ImapCommand): Outcome {
  if (error instanceof MailError) {
    session.reportFailure(error, verb);
    return faultToResponse(error.fault, verb);
  }
  if (error instanceof ConnectionLost || session.connection.isClosed) throw error;
  session.reportFailure(error, verb);
  return no('Something is wrong with the server; it was noted', 'SERVERBUG');
}

function placeInWords(session: ImapSession): string {
  switch (session.state.at) {
    case 'not-authenticated':
      return 'before the login';
    case 'authenticated':
      return 'without a selected mailbox, or after the login';
    case 'selected':
      return 'after the login';
    case 'logout':
      return 'after LOGOUT';
    default:
      return unreachable(session.state);
  }
}
