/**
 * The queue as a worker sees it. Recipients are in hand under the token of a lane's batch; what is written of them is
 * guarded by it. Every method may reject with MailError unavailable; then it may or may not have taken place, and can be
 * called again.
 */
import type {
  AttemptFacts,
  NewOutbound,
  NextHop,
  OutboundMessage,
  OutboundRecipient,
  QueueRecipientId,
} from './outbound-ports.ts';
import type { Accepted } from './outbound-ports.ts';
import type { Delivery, SpooledMessage } from './ports.ts';

declare const brand: unique symbol;
export type LaneToken = bigint & { readonly [brand]: 'LaneToken' };

/** A recipient in hand. */
export type InHand = {
  readonly token: LaneToken;
  readonly message: OutboundMessage;
  readonly recipient: OutboundRecipient;
  readonly expiresAt: Date;
  /** The administrator wants it gone, and the sender to hear of it or not. */
  readonly wanted: 'cancel' | 'cancel-quietly' | null;
  /** Where its row lies; the store's. */
  readonly place: number;
};

/** A place at a next hop. */
export type QueueLane = {
  /** Of the present batch. */
  readonly token: LaneToken;
  readonly hop: NextHop;
  readonly maxLanes: number;
  /** Recipients a minute; null: as fast as it goes. Such a lane has one batch. */
  readonly perMinute: number | null;
  /** Times in a row that the next hop was found blocked. */
  readonly blockedTimes: number;
  /** Up to where each class was handed out; the store's. */
  readonly marks: readonly [high: string, normal: string, low: string];
};

export type LaneBatch = { readonly lane: QueueLane; readonly inHand: readonly InHand[] };

/** What becomes of a recipient in hand. */
export type Settlement = {
  readonly inHand: InHand;
  /** `gone`: nothing more to do; `untried`: given back as it was, and no attempt is told. */
  readonly next: 'gone' | 'queued' | 'held' | 'dead' | 'captured' | 'untried';
  /** When it is tried again; null: at once. */
  readonly due: Date | null;
  /** For the administrator; null: as before. */
  readonly reason: string | null;
  readonly outcome: string;
  readonly category: string | null;
  readonly facts: AttemptFacts | null;
};

/** What a lane that is given back says of its next hop. */
export type LaneReport = {
  readonly lane: QueueLane;
  /** Lanes that it bears more. */
  readonly rise: number;
  /** 1, or by which factor it bears fewer. */
  readonly fall: number;
  /** Null: it is not blocked. */
  readonly blockedMs: number | null;
  readonly reason: string | null;
  /** False: something went wrong, and recipients may be left in hand. They come back, as after a crash. */
  readonly isSettled: boolean;
};

/** A report to the sender that is stored or queued in the transaction that settles what it tells of. */
export type NoticeMail = {
  readonly message: SpooledMessage;
  readonly deliveries: readonly Delivery[];
  readonly outbound: readonly NewOutbound[];
};

export interface OutboundQueue {
  /** Makes this process known as a worker, under a new identity. */
  enter(name: string): Promise<void>;
  /** Extends all leases of this worker by `leaseSeconds`. False: it was given up, and its recipients are others'. */
  heartbeat(): Promise<boolean>;
  /** No more a worker; what it still has in hand lapses at once. */
  leave(): Promise<void>;

  /** Up to `lanes` lanes with up to `rows` recipients each, at the next hops that are due for longest. */
  claim(lanes: number, rows: number): Promise<readonly LaneBatch[]>;
  /** The next batch of each lane, by the token of the last one. A lane without one is empty and still ours. */
  next(lanes: readonly QueueLane[], rows: number): Promise<ReadonlyMap<LaneToken, LaneBatch>>;
  /** The lanes' connections are closed. */
  giveBack(reports: readonly LaneReport[]): Promise<void>;

  /** Resolves with those that were not in hand under their token any more: for them only the attempt is told. */
  settle(settlements: readonly Settlement[]): Promise<ReadonlySet<QueueRecipientId>>;
  /** `settle`, and the notice, in one transaction. Resolves with null where a recipient was not in hand: nothing is written. */
  settleWithNotice(settlements: readonly Settlement[], notice: NoticeMail): Promise<Accepted | null>;
  /**
   * The delay notice of this number, and that it was sent, in one transaction; the recipients stay in hand. Null: one was not in hand,
   * or its notice had been sent.
   */
  tellDelay(recipients: readonly InHand[], number: number, notice: NoticeMail): Promise<Accepted | null>;

  /**
   * Gives back what this worker holds under other tokens than these: a claim whose answer was lost. Not while a claim is
   * under way. Resolves with the number of lanes.
   */
  disown(known: readonly LaneToken[]): Promise<number>;
  /** Takes from workers that were not heard of what they have in hand. Resolves with the number of lanes. */
  reap(): Promise<number>;
}
