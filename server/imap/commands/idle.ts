import type { ImapSession } from '../state/session.ts';
import { synchronize } from '../state/synchronize.ts';
import { bad, ok, type Outcome } from './outcome.ts';

/** RFC 2177: changes are told as they come, until the client says DONE. */
export async function idleCommand(session: ImapSession): Promise<Outcome> {
  const { metrics } = session.services;
  session.expectLine();
  await session.continue('idling');
  session.isIdling = true;
  metrics.imapIdling.inc();
  try {
    return await idle(session);
  } finally {
    session.isIdling = false;
    metrics.imapIdling.dec();
  }
}

async function idle(session: ImapSession): Promise<Outcome> {
  const { clock, policy } = session.services;
  const endsAt = clock.monotonicMs() + policy.idleTimeoutMs;
  for (;;) {
    if (session.isStopping) {
      await session.bye('The server stops, come again');
    } else {
      // A change may have come between the command and now.
      await tellChanges(session);
    }
    if (session.state.at === 'logout') return ok('IDLE ended');
    const frame = await session.nextFrame(endsAt - clock.monotonicMs());
    if (frame === 'interrupted') continue;
    if (frame === 'timeout') {
      await session.bye('Autologout');
      return ok('IDLE ended');
    }
    if (frame === 'end') return ok('IDLE ended');
    const isDone = frame.kind === 'line' && frame.line.toString('latin1').trim().toUpperCase() === 'DONE';
    return isDone ? ok('IDLE completed') : bad('IDLE: expected DONE');
  }
}

async function tellChanges(session: ImapSession): Promise<void> {
  try {
    await synchronize(session, { always: false, mayExpunge: true });
  } catch (error) {
    session.reportFailure(error, 'IDLE');
  }
}
