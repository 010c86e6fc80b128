/**
 * Every reply that we give with a reason of our own: code (RFC 5321 section 4.2), enhanced status (RFC 3463, RFC
 * 5248) and text. The texts are for people who read them in a bounce; what the log says is another matter.
 */
import { MailError, type MailFault } from '#server/mail/mail-error.ts';
import type { RecipientVerdict } from '#server/mail/ports.ts';
import type { ContentVerdict } from '#server/delivery/content-rules.ts';
import { submissionReply, SubmissionRefusal } from '#server/submission/submission-fault.ts';
import { unreachable } from '#shared/base/unreachable.ts';

export type Reply = { readonly code: number; readonly status: string; readonly text: string };

export const replies = {
  internalError: { code: 451, status: '4.3.0', text: 'Local error, try again later' },
  // RFC 3463 X.3.2 "system not accepting network messages".
  stopping: { code: 421, status: '4.3.2', text: 'Service is stopping, try again' },
  tooManyConnections: { code: 421, status: '4.7.0', text: 'Too many connections, try again later' },
  tooManyCommands: { code: 421, status: '4.7.0', text: 'Too many commands without a message' },
  tooManyErrors: { code: 421, status: '4.7.0', text: 'Too many errors' },
  tooSlow: { code: 421, status: '4.4.2', text: 'The message took too long' },
  idle: { code: 421, status: '4.4.2', text: 'Timeout, closing connection' },
  // RFC 4954 section 4.
  startTlsForAuth: { code: 538, status: '5.7.11', text: 'Must issue a STARTTLS command first' },
  authenticatedAlready: { code: 503, status: '5.5.1', text: 'Already authenticated' },
  unknownMechanism: { code: 504, status: '5.5.4', text: 'Authentication mechanism is not offered' },
  startTlsFirst: { code: 530, status: '5.7.0', text: 'Must issue a STARTTLS command first' },
  authenticationRequired: { code: 530, status: '5.7.0', text: 'Authentication required' },
  // RFC 4954 section 4: not in the middle of a mail transaction.
  authenticationNotNow: { code: 503, status: '5.5.1', text: 'AUTH is not allowed in a mail transaction' },
  wrongCredentials: { code: 535, status: '5.7.8', text: 'Authentication credentials invalid' },
  // RFC 4954 section 4 has 501 for both; the first status is that of the library.
  malformedCredentials: { code: 501, status: '5.5.4', text: 'Authentication response can not be read' },
  authenticationCancelled: { code: 501, status: '5.7.0', text: 'Authentication cancelled' },
  authenticationUnavailable: { code: 454, status: '4.7.0', text: 'Temporary authentication failure' },
  senderNotAllowed: { code: 553, status: '5.7.1', text: 'You may not send with this sender address' },
  badSender: { code: 553, status: '5.1.7', text: 'Sender address is not valid' },
  badRecipient: { code: 553, status: '5.1.3', text: 'Recipient address is not valid' },
  // RFC 6531 section 3.5.
  needsSmtpUtf8: { code: 553, status: '5.6.7', text: 'An address that is not ASCII needs SMTPUTF8' },
  // RFC 5321 section 4.1.1.11.
  unknownParameter: { code: 555, status: '5.5.4', text: 'Parameter not recognized or not implemented' },
  tooManyRecipients: { code: 452, status: '4.5.3', text: 'Too many recipients' },
  relayingDenied: { code: 550, status: '5.7.1', text: 'Relaying denied: this server takes mail for its own domains' },
  cannotSendOut: { code: 550, status: '5.7.1', text: 'Sending to other domains is not available yet' },
  vrfy: { code: 252, status: '2.0.0', text: 'Not verified; try to send to it' },
} as const satisfies Record<string, Reply>;

/** Refuses the present command. `message` and `responseCode` are what smtp-server reads. */
export class SmtpRefusal extends Error {
  override readonly name = 'SmtpRefusal';
  readonly responseCode: number;
  readonly reply: Reply;

  constructor(reply: Reply, options?: ErrorOptions) {
    super(replyText(reply), options);
    this.responseCode = reply.code;
    this.reply = reply;
  }
}

/** The text after the code. */
export function replyText(reply: Reply): string {
  return `${reply.status} ${reply.text}`;
}

/** RCPT's answer; null: accepted. */
export function recipientReply(verdict: Exclude<RecipientVerdict, { kind: 'remote' | 'local' }>): Reply {
  switch (verdict.kind) {
    case 'unknown':
      return { code: 550, status: '5.1.1', text: 'No such address here' };
    case 'over-quota':
      // Temporary, since the owner can make room: the sender's server tries for days.
      return { code: 452, status: '4.2.2', text: 'Mailbox is full' };
    case 'suspended':
      // RFC 3463 X.2.1 may be permanent or not. Nobody knows when a suspension ends, so the author hears now
      // rather than after days of tries.
      return { code: 550, status: '5.2.1', text: 'Mailbox does not accept mail' };
    default:
      return unreachable(verdict);
  }
}

/** A recipient's domain takes no message of that size. */
export function tooBigReply(limitBytes: number): Reply {
  return { code: 552, status: '5.3.4', text: `Message is larger than ${limitBytes} bytes` };
}

export function contentReply(reason: Extract<ContentVerdict, { kind: 'refuse' }>['reason']): Reply {
  switch (reason) {
    case 'bare-line-ending':
      return { code: 550, status: '5.6.0', text: 'Lines must end in CRLF: a CR or LF alone is not allowed' };
    case 'nul':
      return { code: 550, status: '5.6.0', text: 'A NUL byte is not allowed in a message' };
    case 'loop':
      return { code: 554, status: '5.4.6', text: 'Too many hops: mail loop' };
    default:
      return unreachable(reason);
  }
}

export function faultReply(fault: MailFault): Reply {
  switch (fault.kind) {
    case 'unavailable':
      return { code: 451, status: '4.3.0', text: 'Mail system is not available now, try again later' };
    case 'storage-full':
      return { code: 452, status: '4.3.1', text: 'Insufficient system storage, try again later' };
    case 'over-quota':
      return { code: 452, status: '4.2.2', text: 'Mailbox is full' };
    case 'too-big':
      return tooBigReply(fault.limitBytes);
    case 'limit':
      return { code: 452, status: '4.2.0', text: 'Mailbox can take no more messages' };
    case 'not-permitted':
      return { code: 550, status: '5.7.1', text: 'Not permitted' };
    case 'no-such-account':
    case 'no-such-mailbox':
    case 'mailbox-exists':
    case 'mailbox-has-children':
    case 'bad-mailbox-name':
      // An account that was there at RCPT is gone: the next try hears it at RCPT, for that recipient alone.
      return { code: 451, status: '4.2.0', text: 'A recipient has changed, try again' };
    default:
      return unreachable(fault);
  }
}

/** Null: a bug of ours, to be logged and answered with `internalError`. */
export function errorReply(error: unknown): Reply | null {
  if (error instanceof SmtpRefusal) return error.reply;
  if (error instanceof SubmissionRefusal) return submissionReply(error.fault);
  return error instanceof MailError ? faultReply(error.fault) : null;
}
