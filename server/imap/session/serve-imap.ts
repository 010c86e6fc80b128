/** A session from its greeting to its end (RFC 3501 sections 3, 5.4, 5.5 and 7.1.5). */
import { ConnectionLost, type Connection } from '#server/wire/connection.ts';
import { newLogId } from '#shared/observe/logger.ts';
import { unreachable } from '#shared/base/unreachable.ts';
import { capabilities } from '../commands/capability.ts';
import { refuseLoginLiteral } from '../commands/login.ts';
import type { Frame } from '../grammar/frame.ts';
import { conditionResponse } from '../grammar/response.ts';
import { ImapSession } from '../state/session.ts';
import type { ImapServices } from '../state/services.ts';
import { runCommand } from './run-command.ts';

/** Commands without sense, one after the other, before a session is closed: whoever speaks here speaks no IMAP. */
const maxFaults = 20;

export function openSession(services: ImapServices, connection: Connection): ImapSession {
  return new ImapSession(services, connection, services.logger.child({ connection: newLogId() }));
}

/** Serves the session's connection to its end; never rejects. */
export async function serveImap(opened: ImapSession): Promise<void> {
  using session = opened;
  const { connection, services } = session;
  const { remoteAddress, tlsDescription: tls } = connection;
  const openedAt = services.clock.monotonicMs();
  session.logger.info({ event: 'conn.open', remoteAddress, tls }, 'connection opened');
  const endedBy = await converse(session, services);
  const { bytesRead, bytesWritten } = connection;
  const seconds = (services.clock.monotonicMs() - openedAt) / 1000;
  session.logger.info({ event: 'conn.close', reason: endedBy, bytesRead, bytesWritten, seconds }, 'connection closed');
}

/** Resolves with what ended the session. */
async function converse(session: ImapSession, services: ImapServices): Promise<string> {
  try {
    await session.write(
      conditionResponse(null, 'OK', 'Postrider ready', { code: 'CAPABILITY', capabilities: capabilities(session) }),
    );
    return await serveCommands(session, services);
  } catch (error) {
    if (error instanceof ConnectionLost) return error.message;
    session.reportFailure(error, 'session');
    return 'failure';
  }
}

async function serveCommands(session: ImapSession, { clock, policy }: ImapServices): Promise<string> {
  const loginUntil = clock.monotonicMs() + policy.loginTimeoutMs;
  let faults = 0;
  while (session.state.at !== 'logout') {
    if (session.isStopping) {
      await session.bye('The server stops, come again');
      return 'stopping';
    }
    const isLoggedIn = session.state.at !== 'not-authenticated';
    const withinMs = isLoggedIn ? policy.idleTimeoutMs : Math.max(loginUntil - clock.monotonicMs(), 0);
    const frame = await session.nextFrame(withinMs);
    if (frame === 'end') return 'client ended';
    if (frame === 'interrupted') continue;
    if (frame === 'timeout') {
      await session.bye('Autologout');
      return 'timeout';
    }
    // Clients ask now and then for extensions that we don't have, in a session that may last for weeks.
    faults = (await serveFrame(session, frame)) ? 0 : faults + 1;
    if (faults >= maxFaults) await session.bye('Too many commands that are none');
  }
  return 'logout';
}

/** False: the client wrote nonsense. */
async function serveFrame(session: ImapSession, frame: Frame): Promise<boolean> {
  const { metrics } = session.services;
  switch (frame.kind) {
    case 'command':
      await runCommand(session, frame.command, { tag: frame.tag, literal: null });
      return true;
    case 'append': {
      const literal = { bytes: frame.literalBytes, synchronizing: frame.synchronizing };
      await runCommand(session, frame.command, { tag: frame.tag, literal });
      return true;
    }
    case 'continue': {
      const refusal = refuseLoginLiteral(session, frame.tag, frame.verb);
      if (refusal === null) {
        await session.continue('Ready for the literal');
        return true;
      }
      session.skipLiteral();
      await session.write(refusal);
      return false;
    }
    case 'bad-charset':
      metrics.imapCommands.inc({ verb: 'SEARCH', outcome: 'no' });
      await session.write(conditionResponse(frame.tag, 'NO', frame.text, { code: 'BADCHARSET' }));
      return true;
    case 'fault':
      metrics.imapCommands.inc({ verb: 'unreadable', outcome: 'bad' });
      await session.write(conditionResponse(frame.tag, 'BAD', frame.text));
      if (frame.close) await session.bye('The command can not be read');
      return false;
    case 'line':
    case 'append-end':
      throw new Error(`a ${frame.kind} frame that nothing asked for`);
    default:
      return unreachable(frame);
  }
}
