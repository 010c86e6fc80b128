/** LOGIN and AUTHENTICATE (RFC 3501 sections 6.2.2 and 6.2.3, RFC 4959). */
import { setTimeout as sleep } from 'node:timers/promises';
import { decodePlain, type PasswordCredentials } from '#server/sasl/plain.ts';
import { SyntaxFault } from '#shared/text/scanner.ts';
import { conditionResponse } from '../grammar/response.ts';
import type { ImapSession } from '../state/session.ts';
import { capabilities, mayLogIn } from './capability.ts';
import type { CommandOf } from './command-of.ts';
import { bad, no, ok, type Outcome } from './outcome.ts';

/** RFC 3501 section 6.2.3, RFC 5530 section 3. */
const needsTls = no('Use STARTTLS first: a password must not be sent in clear', 'PRIVACYREQUIRED');

export async function loginCommand(session: ImapSession, { user, password }: CommandOf<'LOGIN'>): Promise<Outcome> {
  if (!mayLogIn(session)) return needsTls;
  return verify(session, { login: user, password }, 'LOGIN');
}

export async function authenticateCommand(
  session: ImapSession,
  { mechanism, initialResponse }: CommandOf<'AUTHENTICATE'>,
): Promise<Outcome> {
  if (mechanism.toUpperCase() !== 'PLAIN') return no('This mechanism is not offered', 'CANNOT');
  if (!mayLogIn(session)) return needsTls;
  const response = initialResponse ?? (await askForResponse(session));
  if (response === null) return bad('AUTHENTICATE aborted');
  try {
    return await verify(session, decodePlain(response), 'PLAIN');
  } catch (error) {
    if (error instanceof SyntaxFault) return bad(`AUTHENTICATE PLAIN: expected ${error.rule}`);
    throw error;
  }
}

/** Null: the client gave up (RFC 3501 section 6.2.2, "*"). */
async function askForResponse(session: ImapSession): Promise<string | null> {
  session.expectLine();
  await session.continue('');
  const frame = await session.nextFrame(session.services.policy.loginTimeoutMs);
  if (typeof frame === 'string') return null;
  if (frame.kind === 'fault' && frame.close) await session.bye('The command can not be read');
  if (frame.kind !== 'line') return null;
  const line = frame.line.toString('latin1');
  return line === '*' ? null : line;
}

async function verify(
  session: ImapSession,
  { login, password }: PasswordCredentials,
  mechanism: 'PLAIN' | 'LOGIN',
): Promise<Outcome> {
  const { authenticator } = session.services;
  const { remoteAddress } = session.connection;
  const outcome = await authenticator.authenticate({ login, password, protocol: 'imap', mechanism, remoteAddress });
  if (!outcome.ok) {
    session.logger.info({ event: 'auth.fail', login, mechanism, reason: outcome.reason }, 'login refused');
    return refuse(session);
  }
  session.authenticate({ accountId: outcome.accountId, address: outcome.address });
  session.logger.info({ event: 'auth.ok', mechanism }, 'logged in');
  return ok('Logged in', { code: 'CAPABILITY', capabilities: capabilities(session) });
}

/** Guessing costs time, and soon the connection. */
async function refuse(session: ImapSession): Promise<Outcome> {
  const { failedLoginDelayMs, maxFailedLogins } = session.services.policy;
  const delayMs = failedLoginDelayMs * 2 ** session.failedLogins;
  session.failedLogins += 1;
  try {
    await sleep(delayMs, undefined, { signal: session.connection.signal });
  } catch {
    // The client went away: writing the answer will say so.
  }
  if (session.failedLogins >= maxFailedLogins) await session.bye('Too many failed logins');
  return no('Login name or password is wrong', 'AUTHENTICATIONFAILED');
}

/** A refusal before the password is sent, where it would come as a literal (RFC 3501 section 6.2.3). */
export function refuseLoginLiteral(session: ImapSession, tag: string, verb: string): string | null {
  if (session.state.at !== 'not-authenticated') return null;
  if (verb === 'LOGIN')
    return mayLogIn(session) ? null : conditionResponse(tag, 'NO', needsTls.text, 'PRIVACYREQUIRED');
  return verb === 'ID' ? null : conditionResponse(tag, 'BAD', 'Log in first');
}
