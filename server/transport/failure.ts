/** Why a message did not get as far as a transaction, as it stands in the attempt and in the bounce. */
import type { AttemptFacts, OutboundReply, TlsFacts } from '#server/mail/outbound-ports.ts';
import { PeerFault } from './peer-fault.ts';
import { toOutboundReply } from './smtp-reply.ts';
import { ReplyFault } from './smtp-session.ts';

export type Failure = {
  readonly isPermanent: boolean;
  readonly reply: OutboundReply;
  readonly category: string;
  readonly host: string | null;
  readonly address: string | null;
  readonly sourceAddress: string | null;
  readonly tls: TlsFacts | null;
  /** Nothing can go there for a while, whatever the message. */
  readonly isAboutDestination: boolean;
};

export type Where = Pick<Failure, 'host' | 'address' | 'sourceAddress'>;

const nowhere: Where = { host: null, address: null, sourceAddress: null };

/** A failure of our own finding. `status` 5.y.z is permanent. */
export function ownFailure(status: string, text: string, category: string, where: Where = nowhere): Failure {
  return {
    ...where,
    isPermanent: status.startsWith('5'),
    reply: { code: null, status, text },
    category,
    tls: null,
    isAboutDestination: true,
  };
}

/** What `SmtpSession.open` and connecting reject with; anything else is a bug and is thrown on. */
export function sessionFailure(error: unknown, where: Where, tls: TlsFacts | null): Failure {
  if (error instanceof PeerFault) {
    const failure = ownFailure(statusOf(error), error.message, error.kind === 'tls' ? 'tls' : 'connection', where);
    return { ...failure, tls: tls && { ...tls, result: error.tlsResult ?? tls.result } };
  }
  if (!(error instanceof ReplyFault)) throw error;
  const { reply, stage } = error;
  return {
    ...where,
    // RFC 7504: a host that says it takes no mail. Any other refusal before MAIL is about us, and may pass.
    isPermanent: stage !== 'auth' && (reply.code === 521 || reply.code === 556),
    reply: toOutboundReply(reply),
    category: stage === 'auth' ? 'auth' : 'refused',
    tls,
    isAboutDestination: true,
  };
}

/** RFC 3463 section 3.5 and 3.8. */
function statusOf({ kind }: PeerFault): string {
  switch (kind) {
    case 'connect':
      return '4.4.1';
    case 'timeout':
    case 'closed':
      return '4.4.2';
    case 'tls':
      return '4.7.5';
    case 'protocol':
      return '4.5.0';
    default:
      return kind satisfies never;
  }
}

/** What may pass is worth another try, whatever the other hosts said. */
export function mostHopeful(failures: readonly Failure[]): Failure {
  const found = failures.findLast(({ isPermanent }) => !isPermanent) ?? failures.at(-1);
  if (!found) throw new Error('no host was tried, and none failed');
  return found;
}

export function factsOf(failure: Failure, ms: number): AttemptFacts {
  const { reply, host, address, sourceAddress, tls } = failure;
  return { reply, host, address, sourceAddress, tls, ms, isUncertain: false };
}
