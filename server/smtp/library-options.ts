import type { SMTPServer } from 'smtp-server';
import { replies, replyText } from './fault-to-reply.ts';
import { authenticationOf, type SmtpOptions } from './smtp-options.ts';

/** Which of smtp-server's options make the listener that `options` describes. */
export function libraryOptions(options: SmtpOptions): ConstructorParameters<typeof SMTPServer>[0] {
  const authentication = authenticationOf(options);
  return {
    secure: options.tls === 'implicit',
    name: options.hostname,
    banner: 'Postrider',
    heloResponse: '%s',
    size: options.maxMessageBytes,
    authMethods: ['PLAIN', 'LOGIN'],
    authOptional: authentication !== 'required',
    allowInsecureAuth: options.developmentMode,
    authRequiredMessage: replyText(replies.authenticationRequired),
    disabledCommands: [...(authentication === 'none' ? ['AUTH'] : []), 'XCLIENT', 'XFORWARD', 'WIZ', 'SHELL', 'KILL'],
    hideENHANCEDSTATUSCODES: false,
    maxRecipients: options.maxRecipients,
    maxAllowedUnauthenticatedCommands: options.maxErrors,
    // A name that the peer's own DNS tells proves nothing, and asking for it delays every greeting.
    disableReverseLookup: true,
    socketTimeout: options.idleTimeoutMs,
    // A client that sends its commands and then ends its side still gets the answers.
    allowHalfOpen: true,
    logger: false,
  };
}
