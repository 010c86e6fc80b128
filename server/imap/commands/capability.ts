import { offeredMechanisms, type SaslMechanism } from '#server/accounts/sasl-login.ts';
import { capabilityResponse } from '../grammar/response.ts';
import type { ImapSession } from '../state/session.ts';
import { ok, type Outcome } from './outcome.ts';

const always = ['IMAP4rev1', 'LITERAL+', 'SASL-IR', 'ID', 'ENABLE'];
const authenticated = [
  'IDLE',
  'NAMESPACE',
  'CHILDREN',
  'SPECIAL-USE',
  'CREATE-SPECIAL-USE',
  'UIDPLUS',
  'UNSELECT',
  'MOVE',
];

/** Passwords may be sent now: the session is protected, or development mode does without. */
export function mayLogIn(session: ImapSession): boolean {
  return session.connection.isSecure || session.services.policy.allowCleartextLogin;
}

export function mayStartTls(session: ImapSession): boolean {
  return !session.connection.isSecure && session.services.tls !== null;
}

/** What AUTHENTICATE takes now; the command LOGIN stands in for the mechanism of that name. */
export function mechanisms({ services, connection }: ImapSession): readonly SaslMechanism[] {
  const offered = offeredMechanisms(services.authenticator, {
    channelBinding: (name) => connection.channelBinding(name),
  });
  return offered.filter((name) => name !== 'LOGIN');
}

/** RFC 3501 section 6.1.1: the names that hold in the session's present state. */
export function capabilities(session: ImapSession): readonly string[] {
  const isBeforeLogin = session.state.at === 'not-authenticated';
  return [
    ...always,
    ...(isBeforeLogin && mayStartTls(session) ? ['STARTTLS'] : []),
    ...(isBeforeLogin ? loginCapabilities(session) : []),
    // Also before the login: clients that ask only once decide by it what to use.
    ...authenticated,
  ];
}

function loginCapabilities(session: ImapSession): readonly string[] {
  return mayLogIn(session) ? mechanisms(session).map((name) => `AUTH=${name}`) : ['LOGINDISABLED'];
}

/** RFC 3501 section 6.1.1. */
export async function capabilityCommand(session: ImapSession): Promise<Outcome> {
  await session.write(capabilityResponse(capabilities(session)));
  return ok('CAPABILITY completed');
}
