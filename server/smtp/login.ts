import type { SMTPServerAuthentication } from 'smtp-server';
import type { Logger } from '#shared/observe/logger.ts';
import { MailError } from '#server/mail/mail-error.ts';
import type { Authenticator } from '#server/accounts/authenticator.ts';
import { replies, SmtpRefusal } from './fault-to-reply.ts';
import type { SmtpUser } from './transaction.ts';

/** SMTP AUTH (RFC 4954) with PLAIN (RFC 4616) and LOGIN. Refuses with 535 or, while nobody can know, with 454. */
export async function logIn(
  { authenticator }: { readonly authenticator: Authenticator },
  given: SMTPServerAuthentication,
  remoteAddress: string,
  log: Logger,
): Promise<SmtpUser> {
  const { method, username = '', password, authcid = '', authzid = '' } = given;
  if (method !== 'PLAIN' && method !== 'LOGIN') throw new SmtpRefusal(replies.wrongCredentials);
  const about = { mechanism: method, login: username };
  // RFC 4616 section 2: to act for another is asked for, and nobody may.
  if (authcid !== '' && authzid !== '' && authcid !== authzid) {
    log.info({ event: 'auth.fail', ...about, reason: 'other-identity' }, 'login refused');
    throw new SmtpRefusal(replies.wrongCredentials);
  }
  const outcome = await authenticate();
  if (!outcome.ok) {
    log.info({ event: 'auth.fail', ...about, reason: outcome.reason }, 'login refused');
    throw new SmtpRefusal(replies.wrongCredentials);
  }
  log.info({ event: 'auth.ok', ...about, address: outcome.address }, 'logged in');
  return { accountId: outcome.accountId, address: outcome.address };

  async function authenticate() {
    try {
      return await authenticator.authenticate({
        login: username,
        password: password ?? '',
        protocol: 'submission',
        mechanism: method === 'PLAIN' ? 'PLAIN' : 'LOGIN',
        remoteAddress,
      });
    } catch (error) {
      if (!(error instanceof MailError)) throw error;
      log.warn({ event: 'auth.fail', ...about, reason: error.fault.kind }, 'login could not be checked');
      throw new SmtpRefusal(replies.authenticationUnavailable, { cause: error });
    }
  }
}
