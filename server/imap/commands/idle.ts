import { ConnectionLost } from '#server/wire/connection.ts';
import type { ImapSession } from '../state/session.ts';
import { synchronize } from '../state/synchronize.ts';
import { bad, ok, type Outcome } from './outcome.ts';

/** Before what could not be read, because the store was away, is read again, in ms. */
const retryMs = 2_000;

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
    // A change may have come between the command and now.
    const isTold = session.isStopping || (await tellChanges(session));
    if (session.isStopping) await session.bye('The server stops, come again');
    if (session.state.at === 'logout') return ok('IDLE ended');
    const leftMs = endsAt - clock.monotonicMs();
    const frame = await session.nextFrame(isTold ? leftMs : Math.min(leftMs, retryMs));
    if (frame === 'interrupted') continue;
    if (frame === 'timeout') {
      if (clock.monotonicMs() < endsAt) continue;
      await session.bye('Autologout');
      return ok('IDLE ended');
    }
    if (frame === 'end') return ok('IDLE ended');
    if (frame.kind === 'line' && frame.line.toString('latin1').trim().toUpperCase() === 'DONE') {
      return ok('IDLE completed');
    }
    if (frame.kind === 'fault' && frame.close) await session.bye('The command can not be read');
    return bad('IDLE: expected DONE');
  }
}

/** False: the store could not be read. */
async function tellChanges(session: ImapSession): Promise<boolean> {
  try {
    await synchronize(session, { always: false, mayExpunge: true });
    return true;
  } catch (error) {
    if (error instanceof ConnectionLost) throw error;
    session.reportFailure(error, 'IDLE');
    return false;
  }
}
