/** LOGIN and AUTHENTICATE (RFC 3501 sections 6.2.2 and 6.2.3, RFC 4959). */
import { setTimeout as sleep } from 'node:timers/promises';
import { runSasl, SaslCancelled, type SaslDialogue, type SaslOutcome } from '#server/accounts/sasl-login.ts';
import { decodeResponse } from '#server/sasl/response.ts';
import { SyntaxFault } from '#shared/text/scanner.ts';
import { conditionResponse } from '../grammar/response.ts';
import type { ImapSession } from '../state/session.ts';
import { capabilities, mayLogIn, mechanisms } from './capability.ts';
import type { CommandOf } from './command-of.ts';
import { bad, no, ok, type Outcome } from './outcome.ts';

/** RFC 3501 section 6.2.3, RFC 5530 section 3. */
const needsTls = no('Use STARTTLS first: a password must not be sent in clear', 'PRIVACYREQUIRED');

export async function loginCommand(session: ImapSession, { user, password }: CommandOf<'LOGIN'>): Promise<Outcome> {
  if (!mayLogIn(session)) return needsTls;
  const { authenticator } = session.services;
  const { remoteAddress } = session.connection;
  const attempt = { login: user, password, protocol: 'imap', mechanism: 'LOGIN', remoteAddress } as const;
  return settle(session, 'LOGIN', { login: user, outcome: await authenticator.authenticate(attempt) });
}

export async function authenticateCommand(
  session: ImapSession,
  { mechanism: name, initialResponse }: CommandOf<'AUTHENTICATE'>,
): Promise<Outcome> {
  const mechanism = [...mechanisms(session), 'LOGIN' as const].find((offered) => offered === name.toUpperCase());
  if (mechanism === undefined) return no('This mechanism is not offered', 'CANNOT');
  if (!mayLogIn(session)) return needsTls;
  const { authenticator } = session.services;
  try {
    const initial = initialResponse === null ? null : decodeResponse(initialResponse);
    return await settle(session, mechanism, await runSasl(mechanism, initial, authenticator, dialogueOf(session)));
  } catch (error) {
    if (error instanceof SaslCancelled) return bad('AUTHENTICATE aborted');
    if (error instanceof SyntaxFault) return bad(`AUTHENTICATE ${mechanism}: expected ${error.rule}`);
    throw error;
  }
}

function dialogueOf(session: ImapSession): SaslDialogue {
  const { connection } = session;
  return {
    protocol: 'imap',
    remoteAddress: connection.remoteAddress,
    channelBinding: (binding) => connection.channelBinding(binding),
    ask: async (challenge) => {
      const line = await askForResponse(session, challenge);
      return line === null ? null : decodeResponse(line);
    },
  };
}

/** Null: the client gave up (RFC 3501 section 6.2.2, "*"). */
async function askForResponse(session: ImapSession, challenge: Buffer): Promise<string | null> {
  session.expectLine();
  await session.continue(challenge.toString('base64'));
  const frame = await session.nextFrame(session.services.policy.loginTimeoutMs);
  if (typeof frame === 'string') return null;
  if (frame.kind === 'fault' && frame.close) await session.bye('The command can not be read');
  if (frame.kind !== 'line') return null;
  const line = frame.line.toString('latin1');
  return line === '*' ? null : line;
}

async function settle(session: ImapSession, mechanism: string, { login, outcome }: SaslOutcome): Promise<Outcome> {
  if (!outcome.ok) {
    session.logger.info({ event: 'auth.fail', login, mechanism, reason: outcome.reason }, 'login refused');
    return refuse(session);
  }
  // Such a login is for submission alone, and is let in nowhere else; should it be, there is no account to serve.
  if (outcome.accountId === null) return refuse(session);
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
