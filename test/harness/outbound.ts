/** What tests of the transport need: messages, routes, a transport over them. */
import { pino } from 'pino';
import { systemClock } from '#shared/base/clock.ts';
import type { BlobHash } from '#shared/base/ids.ts';
import { createAddressGuard } from '#shared/dns/address-guard.ts';
import type { DnsAnswer, DnsFailureReason, RecordType, Resolver } from '#shared/dns/answer.ts';
import type { Validation } from '#shared/dns/validation.ts';
import type {
  Attempt,
  AttemptResult,
  OutboundEnvelope,
  OutboundMessage,
  OutboundRecipient,
  QueueId,
  QueueRecipientId,
  RecipientOutcome,
} from '#server/mail/outbound-ports.ts';
import type {
  DirectTarget,
  Route,
  SmtpTarget,
  SourceRests,
  StsPolicy,
  StsPolicyStore,
  TlsSession,
} from '#server/mail/outbound-routes.ts';
import { Port25 } from '#server/transport/port-25.ts';
import { createTransport, type TransportOptions } from '#server/transport/transport.ts';

export const plainMessage = 'From: <a@here.test>\r\nTo: <b@d.test>\r\nSubject: x\r\n\r\nHello\r\n.dot\r\nEnd\r\n';

let nextId = 1n;

/** Of an ordinary message, of the domain `here.test`. */
export const plainEnvelope: OutboundEnvelope = {
  origin: 'submission',
  accountId: null,
  domain: 'here.test',
  sender: 'a@here.test',
  returnPath: null,
  envid: null,
  ret: null,
  body: '7bit',
  isSmtpUtf8: false,
  requiresTls: false,
  deliverBy: null,
  holdUntil: null,
  priority: 0,
  traceId: 't',
  messageId: null,
};

export type MessageOptions = Partial<Omit<OutboundMessage, 'content'>> & {
  readonly text?: string;
  /** Yields pieces of this size. */
  readonly pieceBytes?: number;
  readonly prefix?: string;
  readonly failsAfterBytes?: number;
};

export function outboundMessage(options: MessageOptions = {}): OutboundMessage {
  const { text = plainMessage, pieceBytes = 256 * 1024, prefix = '', failsAfterBytes, ...rest } = options;
  const bytes = Buffer.from(text);
  return {
    ...plainEnvelope,
    id: nextId++ as QueueId,
    acceptedAt: new Date(),
    content: {
      prefix: Buffer.from(prefix),
      hash: Buffer.alloc(32) as unknown as BlobHash,
      rawSize: bytes.length,
      async *read(start: number, end: number) {
        for (let at = start; at < end; at += pieceBytes) {
          if (failsAfterBytes !== undefined && at >= failsAfterBytes) throw new Error('the blob is gone');
          yield bytes.subarray(at, Math.min(end, at + pieceBytes));
        }
      },
    },
    ...rest,
  };
}

export function outboundRecipient(address: string, rest: Partial<OutboundRecipient> = {}): OutboundRecipient {
  const id = nextId++ as QueueRecipientId;
  return {
    id,
    address,
    notify: null,
    orcpt: null,
    attempts: 0,
    crashes: 0,
    firstAttemptAt: null,
    delayNotices: 0,
    ...rest,
  };
}

export function attemptOf(
  message: OutboundMessage,
  to: readonly (string | OutboundRecipient)[],
  rest: Partial<Attempt> = {},
): Attempt {
  const recipients = to.map((each) => (typeof each === 'string' ? outboundRecipient(each) : each));
  return { message, recipients, signal: new AbortController().signal, isLeaseValid: () => true, ...rest };
}

/** "TYPE name" → records; what is not there is NXDOMAIN, unless the name has something else. */
export type FakeZone = Record<string, readonly unknown[] | DnsFailureReason>;

export function fakeResolver(zone: FakeZone, isAuthentic: (name: string) => boolean = () => false): Resolver {
  return {
    resolve: (name: string, type: RecordType) => {
      const found = zone[`${type} ${name}`];
      const reply = (answer: unknown) => Promise.resolve(answer as DnsAnswer<never>);
      if (typeof found === 'string') return reply({ kind: 'failure', reason: found });
      const facts = { canonicalName: name, isAuthentic: isAuthentic(name) };
      if (found) return reply({ kind: 'records', records: found, ...facts });
      const exists = Object.keys(zone).some((key) => key.endsWith(` ${name}`));
      return reply({ kind: exists ? 'no-data' : 'no-name', ...facts });
    },
  };
}

export function directTarget(port: number, rest: Partial<DirectTarget> = {}): DirectTarget {
  return {
    kind: 'direct',
    priority: 0,
    weight: 1,
    port,
    tls: 'opportunistic',
    allowedNetworks: ['127.0.0.0/8', '::1/128'],
    egress: { sourceAddresses: [], socks: null },
    ...rest,
  };
}

export function smtpTarget(port: number, rest: Partial<SmtpTarget> = {}): SmtpTarget {
  return {
    kind: 'smarthost',
    priority: 0,
    weight: 1,
    host: '127.0.0.1',
    port,
    tls: 'opportunistic',
    ca: null,
    credentials: null,
    egress: { sourceAddresses: [], socks: null },
    ...rest,
  };
}

export function routeOf(name: string, targets: Route['targets'], rest: Partial<Route> = {}): Route {
  return {
    name,
    priority: 100,
    senderDomains: [],
    recipientDomains: [],
    targets,
    maxConnections: 10,
    messagesPerMinute: null,
    ...rest,
  };
}

export function memoryStsStore(): StsPolicyStore & { readonly policies: Map<string, StsPolicy> } {
  const policies = new Map<string, StsPolicy>();
  return {
    policies,
    get: (domain) => Promise.resolve(policies.get(domain) ?? null),
    put: (domain, policy) => Promise.resolve(void policies.set(domain, policy)),
  };
}

export function memoryRests(): SourceRests & { readonly blocked: Map<string, string> } {
  const blocked = new Map<string, string>();
  return {
    blocked,
    rested: (destination, addresses) => addresses.filter((each) => !blocked.has(`${destination} ${each}`)),
    block: (destination, address, reason) => void blocked.set(`${destination} ${address}`, reason),
    clear: (destination, address) => void blocked.delete(`${destination} ${address}`),
  };
}

const notValidating: Validation = { isValidating: false, reason: 'a test' };

export type TestTransport = {
  readonly options: TransportOptions;
  readonly sessions: TlsSession[];
  /** Over a lane of its own. */
  send(attempt: Attempt, route: string, domain?: string | null): Promise<AttemptResult>;
  openLane: ReturnType<typeof createTransport>['openLane'];
};

export function testTransport(routes: readonly Route[], rest: Partial<TransportOptions> = {}): TestTransport {
  const sessions: TlsSession[] = [];
  const options: TransportOptions = {
    routes: { routes },
    resolver: fakeResolver({}),
    validation: () => Promise.resolve(notValidating),
    guard: createAddressGuard(),
    port25: new Port25(() => true),
    stsPolicies: memoryStsStore(),
    tlsReports: { record: (session) => void sessions.push(session) },
    rests: memoryRests(),
    rules: null,
    sevenBit: null,
    ownName: 'us.test',
    isOwnName: (name) => name === 'us.test',
    isOwnAddress: () => false,
    clock: systemClock,
    logger: pino({ level: 'silent' }),
    ...rest,
    deadlines: { quitMs: 200, ...rest.deadlines },
  };
  const transport = createTransport(options);
  return {
    options,
    sessions,
    openLane: (hop) => transport.openLane(hop),
    send: async (attempt, route, domain = null) => {
      await using lane = transport.openLane({ route, domain });
      return await lane.attempt(attempt);
    },
  };
}

export function only({ outcomes }: AttemptResult): RecipientOutcome {
  if (outcomes.length !== 1 || !outcomes[0]) throw new Error(`${outcomes.length} outcomes`);
  return outcomes[0];
}

/** "later 4.4.1 connection refused", for tables. */
export function told(outcome: RecipientOutcome): string {
  const { code, status, text } = outcome.facts.reply;
  return [outcome.kind, code, status, text].filter((each) => each !== null).join(' ');
}
