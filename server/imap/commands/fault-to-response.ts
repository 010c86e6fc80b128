import type { MailFault } from '#server/mail/mail-error.ts';
import { unreachable } from '#shared/base/unreachable.ts';
import type { ImapVerb } from '../grammar/command.ts';
import { no, type Outcome } from './outcome.ts';

/** Refusals as IMAP says them: codes of RFC 5530, TRYCREATE of RFC 3501 section 7.1, HASCHILDREN of RFC 9051. */
export function faultToResponse(fault: MailFault, verb: ImapVerb): Outcome {
  switch (fault.kind) {
    case 'no-such-account':
      return no('This account is no more', 'CONTACTADMIN');
    case 'no-such-mailbox':
      // RFC 3501 sections 6.3.11 and 6.4.7: only a command that would have filled it hints at CREATE.
      return no('There is no such mailbox', isFilling(verb) ? 'TRYCREATE' : 'NONEXISTENT');
    case 'mailbox-exists':
      return no('There is a mailbox of this name', 'ALREADYEXISTS');
    case 'mailbox-has-children':
      return no('The mailbox has others below it', 'HASCHILDREN');
    case 'bad-mailbox-name':
      return no(fault.reason, 'CANNOT');
    case 'not-permitted':
      return no(fault.reason, 'CANNOT');
    case 'over-quota':
      return no(`The account may hold ${fault.limitBytes} bytes`, 'OVERQUOTA');
    case 'too-big':
      return no(`A message may have ${fault.limitBytes} bytes`, 'TOOBIG');
    case 'limit':
      return no(fault.reason, 'LIMIT');
    case 'unavailable':
      return no('The mail store can not be reached, try again later', 'UNAVAILABLE');
    case 'storage-full':
      return no('There is no room to write at the moment, try again later', 'UNAVAILABLE');
    default:
      return unreachable(fault);
  }
}

function isFilling(verb: ImapVerb): boolean {
  return verb === 'APPEND' || verb === 'COPY' || verb === 'MOVE';
}
