import { conditionResponse } from '../grammar/response.ts';
import type { ImapSession } from '../state/session.ts';
import { mayStartTls } from './capability.ts';
import { bad, type Outcome } from './outcome.ts';

/**
 * RFC 3501 section 6.2.1. Null: the tagged OK was sent already, as the last thing in clear. A handshake that
 * fails ends the connection.
 */
export async function startTlsCommand(session: ImapSession, tag: string): Promise<Outcome | null> {
  const { tls } = session.services;
  if (session.connection.isSecure) return bad('TLS is active already');
  if (tls === null || !mayStartTls(session)) return bad('TLS is not offered');
  await session.startTls(tls, conditionResponse(tag, 'OK', 'Begin TLS negotiation now'));
  session.logger.debug({ event: 'imap.tls', tls: session.connection.tlsDescription }, 'TLS started');
  return null;
}
