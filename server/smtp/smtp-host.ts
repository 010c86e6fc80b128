/** What a connection asks of the listener that it belongs to. */
import type { SMTPServerSession } from 'smtp-server';
import type { Authenticator } from '#server/accounts/authenticator.ts';
import type { SaslDialogue } from '#server/accounts/sasl-login.ts';
import type { RecipientDirectory } from '#server/mail/ports.ts';
import type { SmtpRefusal } from './fault-to-reply.ts';
import type { AuthCommand } from './login.ts';
import type { SmtpUser } from './transaction.ts';

/** Runs one AUTH; never rejects. */
export type Authenticate = (
  command: AuthCommand,
  dialogue: SaslDialogue,
  session: SMTPServerSession,
) => Promise<AuthResult>;
type AuthResult =
  { readonly user: SmtpUser; readonly refusal: null } | { readonly user: null; readonly refusal: SmtpRefusal };

export interface SmtpHost {
  readonly authenticator: Authenticator;
  readonly authenticate: Authenticate;
  readonly directory: Pick<RecipientDirectory, 'expectRecipients'>;
  /** What EHLO announces beside the library's own. */
  extensions(isSecure: boolean): readonly string[];
}
