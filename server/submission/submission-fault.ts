import { unreachable } from '#shared/base/unreachable.ts';

/** Everything that a message of one of our users can be refused for. server/smtp has a reply for each. */
export type SubmissionFault =
  /** RFC 5321 section 4.1.1.11: a parameter of MAIL or RCPT has a value that its RFC doesn't have. */
  | { readonly kind: 'bad-parameter'; readonly name: string }
  /** RFC 4865 section 4: longer than is announced. */
  | { readonly kind: 'held-too-long'; readonly maxSeconds: number }
  /** Mail that is to be sent later can only go to other systems. */
  | { readonly kind: 'held-local' }
  | { readonly kind: 'header-too-large' }
  /** RFC 5322 section 3.6: there once, and no more. */
  | { readonly kind: 'field-count'; readonly field: 'From' | 'Sender'; readonly count: number }
  | { readonly kind: 'bad-address'; readonly field: 'From' | 'Sender' }
  /** RFC 5322 section 3.6.2. */
  | { readonly kind: 'sender-needed' }
  | { readonly kind: 'from-not-allowed'; readonly field: 'From' | 'Sender'; readonly address: string }
  | { readonly kind: 'too-many-recipients'; readonly most: number }
  | {
      readonly kind: 'limit';
      readonly scope: 'account' | 'domain' | 'login';
      readonly limit: LimitKind;
      /** Until there is room; null: there never will be for so many recipients. */
      readonly retrySeconds: number | null;
    };

export type LimitKind = 'hour' | 'day' | 'new';

export class SubmissionRefusal extends Error {
  override readonly name = 'SubmissionRefusal';
  readonly fault: SubmissionFault;

  constructor(fault: SubmissionFault) {
    super(fault.kind);
    this.fault = fault;
  }
}

type Reply = { readonly code: number; readonly status: string; readonly text: string };

/** What the client is told: code, status (RFC 3463) and a text for the person who reads it. */
export function submissionReply(fault: SubmissionFault): Reply {
  switch (fault.kind) {
    case 'bad-parameter':
      return { code: 501, status: '5.5.4', text: `The value of ${fault.name} is not valid` };
    case 'held-too-long':
      return { code: 501, status: '5.5.4', text: `A message can be held for ${fault.maxSeconds} seconds at most` };
    case 'held-local':
      return { code: 550, status: '5.7.1', text: 'A message for an address of this server can not be held' };
    case 'header-too-large':
      return { code: 552, status: '5.3.4', text: 'The header of the message is too large' };
    case 'field-count':
      return fault.count === 0
        ? { code: 550, status: '5.6.0', text: `The message has no ${fault.field} field` }
        : { code: 550, status: '5.6.0', text: `The message has more than one ${fault.field} field` };
    case 'bad-address':
      return { code: 550, status: '5.6.0', text: `The ${fault.field} field has no valid address` };
    case 'sender-needed':
      return { code: 550, status: '5.6.0', text: 'Several addresses in From need a Sender field (RFC 5322 3.6.2)' };
    case 'from-not-allowed':
      return { code: 550, status: '5.7.1', text: `You may not send as ${fault.address} (${fault.field} field)` };
    case 'too-many-recipients':
      return { code: 554, status: '5.5.3', text: `Too many recipients: at most ${fault.most} a message` };
    case 'limit':
      return limitReply(fault);
    default:
      return unreachable(fault);
  }
}

const limitNames: Readonly<Record<LimitKind, string>> = {
  hour: 'recipients an hour',
  day: 'recipients a day',
  new: 'new recipients a day',
};

function limitReply({ scope, limit, retrySeconds }: Extract<SubmissionFault, { kind: 'limit' }>): Reply {
  const what = `of ${limitNames[limit]} of this ${scope}`;
  if (retrySeconds === null) {
    return { code: 550, status: '5.7.1', text: `More recipients than the limit ${what} allows` };
  }
  return { code: 451, status: '4.7.1', text: `The limit ${what} is reached, try again in ${retrySeconds} seconds` };
}
