/** The queue on a database of its own, and short ways to fill it. */
import { systemClock } from '#shared/base/clock.ts';
import { createDatabase, type PostgresDatabase } from '#shared/db/client.ts';
import type {
  AttemptFacts,
  NewOutbound,
  NewRecipient,
  NextHopLimits,
  OutboundEnvelope,
  QueueAdministration,
  QueueId,
  Router,
} from '#server/mail/outbound-ports.ts';
import type { InHand, LaneBatch, Settlement } from '#server/mail/outbound-queue.ts';
import { PgMailStore } from '#server/store/pg-mail-store.ts';
import { createQueueAdministration } from '#server/store/pg-queue-admin.ts';
import { QueueAcceptor } from '#server/store/pg-queue-acceptor.ts';
import { PgOutboundQueue } from '#server/store/pg-queue.ts';
import { spooled } from '../harness/message.ts';
import { plainEnvelope } from '../harness/outbound.ts';

export interface QueueUnderTest extends AsyncDisposable {
  readonly database: PostgresDatabase;
  readonly store: PgMailStore;
  readonly acceptor: QueueAcceptor;
  readonly administration: QueueAdministration;
  /** Made known; each is a worker of its own. */
  worker(options?: { readonly leaseSeconds?: number; readonly mostCrashes?: number }): Promise<PgOutboundQueue>;
  send(options?: SendOptions): Promise<QueueId>;
}

export type SendOptions = {
  readonly to?: readonly (string | NewRecipient)[];
  readonly envelope?: Partial<OutboundEnvelope>;
  readonly raw?: string;
};

export function directRouter(limits: NextHopLimits = { maxLanes: 20, perMinute: null }): Router {
  return {
    nextHop: (_, recipient) => ({ route: 'direct', domain: recipient.slice(recipient.lastIndexOf('@') + 1) }),
    limits: () => limits,
  };
}

const ownEnvelope: OutboundEnvelope = {
  ...plainEnvelope,
  domain: 'ours.test',
  sender: 'ann@ours.test',
  traceId: 'trace',
};

let serial = 0;

export function openQueue(url: string, router: Router = directRouter()): QueueUnderTest {
  const database = createDatabase({ url });
  const store = new PgMailStore({ database, tell: () => undefined });
  const acceptor = new QueueAcceptor({
    database,
    store,
    router,
    clock: systemClock,
    expiryMs: 5 * 24 * 3600_000,
    tell: () => undefined,
    rouse: () => undefined,
  });
  return {
    database,
    store,
    acceptor,
    administration: createQueueAdministration({
      db: database.db,
      limits: (hop) => router.limits(hop),
      rouse: () => undefined,
    }),
    async worker({ leaseSeconds = 60, mostCrashes = 3 } = {}) {
      const queue = new PgOutboundQueue({ database, acceptor, leaseSeconds, mostCrashes });
      await queue.enter('test');
      return queue;
    },
    async send({ to = ['bob@there.test'], envelope, raw = `Subject: ${serial++}\r\n\r\nGood day.\r\n` } = {}) {
      await using message = await spooled(raw);
      const { queued } = await acceptor.accept(message, [], [newOutbound(to, envelope)]);
      return queued[0] as QueueId;
    },
    async [Symbol.asyncDispose]() {
      await acceptor[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
      await database[Symbol.asyncDispose]();
    },
  };
}

export function newOutbound(
  to: readonly (string | NewRecipient)[],
  envelope: Partial<OutboundEnvelope> = {},
): NewOutbound {
  return {
    envelope: { ...ownEnvelope, ...envelope },
    prefix: Buffer.from('Received: by test\r\n'),
    recipients: to.map((each) => (typeof each === 'string' ? { address: each, notify: null, orcpt: null } : each)),
    heldFor: null,
  };
}

export const facts: AttemptFacts = {
  reply: { code: 250, status: '2.0.0', text: 'Ok' },
  host: 'mx.there.test',
  address: '192.0.2.1',
  sourceAddress: null,
  tls: {
    version: 'TLSv1.3',
    cipher: 'TLS_AES_256_GCM_SHA384',
    policy: 'opportunistic',
    isVerified: false,
    result: 'none',
  },
  ms: 12,
  isUncertain: false,
};

export function delivered(inHand: InHand): Settlement {
  return { inHand, next: 'gone', due: null, reason: null, outcome: 'delivered', category: null, facts };
}

export function later(inHand: InHand, due: Date | null): Settlement {
  const refused = { ...facts, reply: { code: 450, status: '4.2.0', text: 'come again' } };
  return { inHand, next: 'queued', due, reason: 'come again', outcome: 'later', category: 'other', facts: refused };
}

export function addressesOf(batches: readonly LaneBatch[]): readonly string[] {
  return batches.flatMap(({ inHand }) => inHand.map(({ recipient }) => recipient.address));
}

/** The lane is given back with nothing to say. */
export function done({ lane }: LaneBatch) {
  return { lane, rise: 0, fall: 1, blockedMs: null, reason: null, isSettled: true };
}

/** Every domain is a next hop of its own, all of them at one peer. */
export const peerLanes = 3;
export const peerRouter: Router = {
  nextHop: (_, recipient) => ({ route: 'peer', domain: recipient.slice(recipient.lastIndexOf('@') + 1) }),
  limits: () => ({ maxLanes: peerLanes, perMinute: null }),
};
