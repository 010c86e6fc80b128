import { SyntaxFault } from '#shared/text/scanner.ts';
import type { Logger } from '#shared/observe/logger.ts';
import { MailError } from '#server/mail/mail-error.ts';
import type { Authenticator } from '#server/accounts/authenticator.ts';
import { runSasl, SaslCancelled, type SaslDialogue, type SaslMechanism } from '#server/accounts/sasl-login.ts';
import { decodeResponse } from '#server/sasl/response.ts';
import { replies, SmtpRefusal } from './fault-to-reply.ts';
import type { SmtpUser } from './transaction.ts';

/** What AUTH was given: `initial` is still in base64, null where it was not sent (RFC 4954 section 4). */
export type AuthCommand = { readonly mechanism: SaslMechanism; readonly initial: string | null };

/** SMTP AUTH (RFC 4954). Refuses with 535, with 501 what can't be read, or, while nobody can know, with 454. */
export async function logIn(
  { authenticator }: { readonly authenticator: Authenticator },
  { mechanism, initial }: AuthCommand,
  dialogue: SaslDialogue,
  log: Logger,
): Promise<SmtpUser> {
  try {
    const response = initial === null ? null : decodeResponse(initial);
    const { login, outcome } = await runSasl(mechanism, response, authenticator, dialogue);
    if (!outcome.ok) {
      log.info({ event: 'auth.fail', mechanism, login, reason: outcome.reason }, 'login refused');
      throw new SmtpRefusal(replies.wrongCredentials);
    }
    const { ok: _, ...user } = outcome;
    log.info({ event: 'auth.ok', mechanism, login, address: user.address }, 'logged in');
    return user;
  } catch (error) {
    throw refusalOf(error, mechanism, log);
  }
}

function refusalOf(error: unknown, mechanism: string, log: Logger): unknown {
  if (error instanceof SaslCancelled) return new SmtpRefusal(replies.authenticationCancelled);
  if (error instanceof SyntaxFault) {
    // RFC 4616 section 2: to act for another is asked for, and nobody may.
    const isOther = error.rule === 'authzid';
    const reason = isOther ? 'other-identity' : 'malformed';
    log.info({ event: 'auth.fail', mechanism, reason, rule: error.rule }, 'login refused');
    return new SmtpRefusal(isOther ? replies.wrongCredentials : replies.malformedCredentials);
  }
  if (!(error instanceof MailError)) return error;
  log.warn({ event: 'auth.fail', mechanism, reason: error.fault.kind }, 'login could not be checked');
  return new SmtpRefusal(replies.authenticationUnavailable, { cause: error });
}
