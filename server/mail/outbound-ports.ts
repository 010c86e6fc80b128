/**
 * What the parts of outbound mail ask of one another. `OutboundQueue` is implemented by server/store on Postgres,
 * `Transport`, `Router` and `ReplyRules` below server/outbound, and server/outbound's worker drives them.
 *
 * A message is queued by the transaction that accepts it, one row per recipient. A worker takes a lane to a next hop,
 * claims a batch of the recipients that are due there under a lease, and writes what became of each, guarded by the
 * lease's token.
 */
import type { AccountId, BlobHash } from '#shared/base/ids.ts';
import type { Delivered, Delivery, SpooledMessage } from './ports.ts';

declare const brand: unique symbol;
/** A message in the queue, in the log and for users `q` and this number. */
export type QueueId = bigint & { readonly [brand]: 'QueueId' };
/** One recipient of one message in the queue. */
export type QueueRecipientId = bigint & { readonly [brand]: 'QueueRecipientId' };

/** The bytes that go out: `prefix`, then the blob. Neither is ever rewritten in the queue; what differs by peer is the transport's. */
export interface MessageSource {
  /** Trace and signature fields that this sending adds, each ended by CRLF. */
  readonly prefix: Buffer;
  readonly hash: BlobHash;
  /** Bytes without the prefix. */
  readonly rawSize: number;
  /** Bytes `start` to `end` (exclusive) of the blob, in chunks of at most 256 KiB. MailError unavailable. */
  read(start: number, end: number): AsyncIterable<Buffer>;
}

/** RFC 3461 section 4.1: `never`, or of what the sender wants to hear. */
export type Notify = 'never' | readonly ('success' | 'failure' | 'delay')[];

/** RFC 2852: `at` passed, the message is returned, or goes on and the sender is told. */
export type DeliverBy = { readonly at: Date; readonly mode: 'return' | 'notify'; readonly isTraced: boolean };

/** Where a message comes from. `notice`: a DSN or another report of our own, never answered by a further one. */
export type OutboundOrigin = 'submission' | 'forward' | 'notice';

/** All that is said of a message in its envelope and by its sender, the recipients apart. */
export type OutboundEnvelope = {
  readonly origin: OutboundOrigin;
  /** Who handed it in; null: nobody of ours (a forward, a notice). */
  readonly accountId: AccountId | null;
  /** The domain of ours on whose behalf it goes: for limits, suppression and routes. Canonical. */
  readonly domain: string;
  /** Who hears of failures; '' is <>, and then nobody does. */
  readonly sender: string;
  /** What MAIL FROM says, where it is not `sender` (VERP, SRS). Null: `sender`. */
  readonly returnPath: string | null;
  /** RFC 3461 section 4.4, decoded. */
  readonly envid: string | null;
  /** RFC 3461 section 4.3. */
  readonly ret: 'full' | 'headers' | null;
  readonly body: '7bit' | '8bitmime';
  readonly isSmtpUtf8: boolean;
  /** RFC 8689. */
  readonly requiresTls: boolean;
  readonly deliverBy: DeliverBy | null;
  /** RFC 4865: not tried before. */
  readonly holdUntil: Date | null;
  /** RFC 6710, -9 to 9; 0 is ordinary. */
  readonly priority: number;
  /** The id under which the log speaks of the message's way in. */
  readonly traceId: string;
  /** The header's Message-ID without angle brackets, null where there is none. */
  readonly messageId: string | null;
};

export type NewRecipient = {
  readonly address: string;
  /** Null: not given, that is failure, and delay where we find it worth telling. */
  readonly notify: Notify | null;
  /** RFC 3461 section 4.2, as given: `addr-type;xtext`, decoded. */
  readonly orcpt: string | null;
};

/** One message for the queue: several of them may share the bytes (a forward has another sender than the message). */
export type NewOutbound = {
  readonly envelope: OutboundEnvelope;
  readonly prefix: Buffer;
  /** At least one, each address once. */
  readonly recipients: readonly NewRecipient[];
  /** Given: every recipient is held for this reason until somebody releases it. */
  readonly heldFor: string | null;
};

export type Accepted = {
  readonly delivered: readonly Delivered[];
  /** In the order of what was given. */
  readonly queued: readonly QueueId[];
};

/** The way to a recipient. `domain` is null where the route has one next hop for all (a smarthost). */
export type NextHop = { readonly route: string; readonly domain: string | null };

/** The route by the recipient's MX, that everybody has. */
export const directRoute = 'direct';
/** The route on which nothing leaves: the message is kept and marked as captured. */
export const captureRoute = 'capture';

/** Which way a recipient goes. Pure for the routes that are known; asked when a message is queued and when it is claimed. */
export interface Router {
  nextHop(envelope: Pick<OutboundEnvelope, 'domain' | 'sender' | 'requiresTls'>, recipient: string): NextHop;
  /** Bounds of one next hop, over all processes. */
  limits(hop: NextHop): NextHopLimits;
}

export type NextHopLimits = {
  /** Lanes, that is connections, open at a time. */
  readonly maxLanes: number;
  /** Messages a minute; null: no bound. */
  readonly perMinute: number | null;
};

/** A message as a worker has it in hand. */
export type OutboundMessage = OutboundEnvelope & {
  readonly id: QueueId;
  readonly acceptedAt: Date;
  readonly content: MessageSource;
};

export type OutboundRecipient = NewRecipient & {
  readonly id: QueueRecipientId;
  /** Attempts that have ended before this one. */
  readonly attempts: number;
  /** Workers that ended without a word while they had this recipient in hand. */
  readonly crashes: number;
  readonly firstAttemptAt: Date | null;
  readonly delayNotices: number;
};

/** The same message in other bytes, for as long as it is not disposed of. */
export interface ConvertedMessage extends AsyncDisposable {
  readonly message: OutboundMessage;
}

/** Messages for servers that lack 8BITMIME (RFC 6152). */
export interface SevenBitMessages {
  /**
   * The message in ASCII, signed anew, the same each time; null: that would break something in it (a signature that is
   * not ours, say). Rejects with MailError unavailable.
   */
  convert(message: OutboundMessage): Promise<ConvertedMessage | null>;
}

/** An SMTP reply, or what stands for one (`code` null: none came, `text` says why). */
export type OutboundReply = {
  readonly code: number | null;
  /** RFC 3463; null where the peer gave none and none is obvious. */
  readonly status: string | null;
  /** At most 1000 characters, without controls. */
  readonly text: string;
};

/** How a connection was protected, and what was asked of it (RFC 8460 for failure types). */
export type TlsFacts = {
  readonly version: string | null;
  readonly cipher: string | null;
  readonly policy: 'none' | 'opportunistic' | 'mta-sts' | 'dane' | 'route' | 'requiretls';
  readonly isVerified: boolean;
  /** A result-type of RFC 8460 section 4.3, or `none`. */
  readonly result: string;
};

/** Where and how an attempt was made. */
export type AttemptFacts = {
  readonly reply: OutboundReply;
  /** The peer's name and address; null where none was reached. */
  readonly host: string | null;
  readonly address: string | null;
  readonly sourceAddress: string | null;
  readonly tls: TlsFacts | null;
  readonly ms: number;
  /**
   * The final dot (or its equivalent) went out and no answer came: the peer may have the message, and the next
   * attempt may make a second copy.
   */
  readonly isUncertain: boolean;
};

/** Of an attempt that reached no peer; the text is ours. */
export function ownFacts(
  text: string,
  { status = null, ms = 0 }: { status?: string | null; ms?: number } = {},
): AttemptFacts {
  const reply = { code: null, status, text };
  return { reply, host: null, address: null, sourceAddress: null, tls: null, ms, isUncertain: false };
}

/** What became of one recipient in one attempt. */
export type RecipientOutcome = { readonly recipientId: QueueRecipientId; readonly facts: AttemptFacts } & (
  | {
      readonly kind: 'delivered';
      /** RFC 3461 section 5.2.2: the peer has taken over the duty to notify. */
      readonly isNotifyPassedOn: boolean;
    }
  /** Capture: kept, did not leave. */
  | { readonly kind: 'captured' }
  /** `notBefore`: the peer named a time; null: as the schedule says. `category` as in ReplyRules. */
  | { readonly kind: 'later'; readonly notBefore: Date | null; readonly category: string }
  | { readonly kind: 'never'; readonly category: string }
  /** The lease ran out or the signal aborted before anything was sent: given back as it was. */
  | { readonly kind: 'not-tried' }
);

/** How the next hop took it, for the number of its lanes and their pace. */
export type Pace =
  /** Took mail. */
  | { readonly kind: 'good' }
  /** Says nothing about the next hop: recipients were refused, or nothing was tried. */
  | { readonly kind: 'same' }
  /** 421, too many connections, 4yz to everything: fewer lanes. */
  | { readonly kind: 'slower'; readonly reason: string }
  /** Cannot be reached, or blocks us: nothing goes there for a while. `forMs` null: as the schedule of hosts says. */
  | { readonly kind: 'blocked'; readonly reason: string; readonly forMs: number | null };

export type AttemptResult = { readonly outcomes: readonly RecipientOutcome[]; readonly pace: Pace };

export type Attempt = {
  readonly message: OutboundMessage;
  /** All for the lane's next hop; at least one, at most 100. */
  readonly recipients: readonly OutboundRecipient[];
  /** Aborts when the process must end: what can't be finished is `later` or `not-tried`. */
  readonly signal: AbortSignal;
  /**
   * Asked again right before the final dot, by the monotonic clock. False: the dot is not sent, the connection is cut,
   * the recipients are `not-tried`: somebody else may have them.
   */
  readonly isLeaseValid: () => boolean;
};

/** A line of attempts, one after the other, with at most one connection open at any time. */
export interface TransportLane extends AsyncDisposable {
  /** One outcome for each recipient. Rejects only for a bug: then all are tried again later. */
  attempt(attempt: Attempt): Promise<AttemptResult>;
  /** It has a connection that the next message can go over. */
  readonly isOpen: boolean;
  /** Closes the connection; the lane's place at the next hop is given to others only when this has resolved. */
  [Symbol.asyncDispose](): Promise<void>;
}

export interface Transport {
  /** Opens no connection yet. The worker opens no more lanes to a next hop than its limits allow, over all processes. */
  openLane(hop: NextHop): TransportLane;
}

/** What a peer's words mean, by the rule file: a provider's 5yz may be temporary, its 4yz a block. Pure. */
export interface ReplyRules {
  classify(
    facts: AttemptFacts,
    hop: NextHop,
  ): {
    readonly action: 'as-is' | 'later' | 'never' | 'slower' | 'block';
    /** For example `greylisted`, `mailbox-full`, `no-such-user`, `spam`, `reputation`, `policy`, `tls`, `dns`, `other`. */
    readonly category: string;
  };
}

/** Addresses that a domain of ours sends nothing to. */
export interface Suppression {
  /** Of `addresses`, those that get nothing from `domain`, each with the reason for the sender. */
  suppressed(domain: string, addresses: readonly string[]): Promise<ReadonlyMap<string, string>>;
  /** After outcomes were written; may be told of one more than once. */
  learn(
    settled: readonly {
      readonly message: OutboundMessage;
      readonly recipient: OutboundRecipient;
      readonly outcome: RecipientOutcome;
    }[],
  ): Promise<void>;
}

/** What the sender is to be told, of some recipients of one message. */
export type Notice = {
  readonly kind: 'failed' | 'delayed' | 'delivered' | 'relayed' | 'expanded';
  readonly message: OutboundMessage;
  readonly recipients: readonly {
    readonly recipient: OutboundRecipient;
    readonly lastAttemptAt: Date | null;
    readonly facts: AttemptFacts | null;
    /** In words, where there is no reply: expired, suppressed, cancelled by the administrator. */
    readonly reason: string | null;
    /** Delayed: until when we go on trying. */
    readonly willRetryUntil: Date | null;
  }[];
};

/** Builds the report (RFC 3464) to the message's sender, which is never '' here. The caller stores or queues it. */
export interface Notices {
  build(notice: Notice): Promise<SpooledMessage>;
}

/** Of a recipient. `expired`, `failed` and the like are reasons of dead ones, not states. */
export type QueueState = 'queued' | 'held' | 'dead' | 'captured';

/** Recipients that match all that is given. */
export type QueueFilter = {
  readonly ids?: readonly QueueId[];
  readonly state?: QueueState;
  readonly recipientDomain?: string;
  readonly sender?: string;
  readonly senderDomain?: string;
  readonly route?: string;
  readonly olderThanSeconds?: number;
  /** Only recipients that were tried and put off. */
  readonly isDeferred?: boolean;
};

export type QueueRow = {
  readonly messageId: QueueId;
  readonly recipientId: QueueRecipientId;
  readonly state: QueueState;
  /** A worker has it in hand. */
  readonly isLeased: boolean;
  readonly sender: string;
  readonly recipient: string;
  readonly hop: NextHop;
  readonly size: number;
  readonly priority: number;
  readonly attempts: number;
  readonly acceptedAt: Date;
  readonly dueAt: Date | null;
  readonly expiresAt: Date;
  /** The last reply, or why it is held or dead. */
  readonly reason: string | null;
};

export type QueueAttempt = {
  readonly recipientId: QueueRecipientId;
  readonly recipient: string;
  readonly at: Date;
  readonly attempt: number;
  /** `lapsed`: the worker was not heard of again; it may have delivered. */
  readonly outcome: RecipientOutcome['kind'] | 'lapsed' | 'cancelled' | 'expired' | 'suppressed';
  readonly category: string | null;
  /** The peer may have the message, whatever the outcome says. */
  readonly isUncertain: boolean;
  /** Told after the lease was lost: it changed nothing. */
  readonly isStale: boolean;
  readonly facts: AttemptFacts | null;
};

export type QueueAction =
  | { readonly kind: 'hold'; readonly reason: string }
  | { readonly kind: 'release' }
  | { readonly kind: 'retry' }
  /** `isNotifying`: the sender gets a failure notice. */
  | { readonly kind: 'cancel'; readonly isNotifying: boolean }
  | { readonly kind: 'reroute'; readonly hop: NextHop };

export type QueueStatistics = {
  readonly groups: readonly {
    readonly state: QueueState;
    readonly priority: 'high' | 'normal' | 'low';
    readonly route: string;
    readonly recipients: number;
    readonly oldestSeconds: number;
  }[];
};

/** Accepting mail: what is stored here and what goes out, in one transaction. */
export interface MailAcceptor {
  /**
   * Resolves after the commit. Refuses as MailStore.deliver, and then nothing is stored or queued. Messages for the
   * queue that come at the same time share a transaction.
   */
  accept(message: SpooledMessage, deliveries: readonly Delivery[], outbound: readonly NewOutbound[]): Promise<Accepted>;
}

/** For administrators: works on rows that nobody has in hand; those in hand follow when they are given back. */
export interface QueueAdministration {
  /** By id of message, `after` exclusive. */
  list(filter: QueueFilter, after: QueueRecipientId | null, limit: number): Promise<readonly QueueRow[]>;
  /** All that is known of one message, finished recipients too. Null: not (any more) known. */
  show(id: QueueId): Promise<{
    readonly envelope: OutboundEnvelope;
    readonly acceptedAt: Date;
    readonly rows: readonly QueueRow[];
    readonly attempts: readonly QueueAttempt[];
  } | null>;
  /** In transactions of at most 1000 rows; yields the rows changed so far. */
  act(filter: QueueFilter, action: QueueAction): AsyncIterable<number>;
  statistics(): Promise<QueueStatistics>;
}
