/** Outbound mail, put together: accepting into the queue, routes and transport, and the worker of the role `outbound`. */
import { networkInterfaces } from 'node:os';
import type { PostgresDatabase } from '#shared/db/client.ts';
import type { Keyring } from '#shared/directory/keyring.ts';
import { createAddressGuard } from '#shared/dns/address-guard.ts';
import type { Resolver } from '#shared/dns/answer.ts';
import { ValidationWatch } from '#shared/dns/validation.ts';
import type { Foundation } from './foundation.ts';
import type { InstanceFacts } from './instance/instance-facts.ts';
import type { Drainable } from './lifecycle.ts';
import type { MailAcceptor, Transport } from './mail/outbound-ports.ts';
import type { RouteSource, TargetProber } from './mail/outbound-routes.ts';
import type { ChangeHint, MailStore, RecipientDirectory } from './mail/ports.ts';
import { capturingTransport } from './outbound/capture.ts';
import { OutboundWorker } from './outbound/worker.ts';
import type { SendingService } from './sending-service.ts';
import { openPgMailRoutes } from './store/pg-mail-routes.ts';
import { openPgRouteProbes } from './store/pg-route-probes.ts';
import { createQueueAdministration } from './store/pg-queue-admin.ts';
import { QueueAcceptor } from './store/pg-queue-acceptor.ts';
import { openQueueLimits } from './store/pg-queue-limits.ts';
import { QueueWake } from './store/pg-queue-wake.ts';
import { PgOutboundQueue } from './store/pg-queue.ts';
import { openPgSourceRests } from './store/pg-source-rests.ts';
import { createPgStsPolicies } from './store/pg-sts-policies.ts';
import { openPgTlsSessions } from './store/pg-tls-sessions.ts';
import { createRouter } from './transport/router.ts';
import { Port25 } from './transport/port-25.ts';
import { createTransport } from './transport/transport.ts';

export type OutboundParts = {
  readonly database: PostgresDatabase;
  readonly resolver: Resolver;
  readonly keyring: Keyring;
  readonly store: MailStore;
  readonly directory: RecipientDirectory;
  readonly sending: Pick<SendingService, 'notices' | 'rules' | 'suppression' | 'sevenBit'>;
  /** Hears of every committed change of an account. */
  readonly tell: (hint: ChangeHint) => void;
};

export interface OutboundService {
  readonly acceptor: MailAcceptor;
  /** Null: this process does not send. */
  readonly worker: Drainable | null;
  readonly facts: () => OutboundFacts;
}

/** What this process has found out about the way out. */
export type OutboundFacts = Pick<InstanceFacts, 'outboundPort25' | 'dnssec'>;

const nothingKnown = (): OutboundFacts => ({ outboundPort25: 'unknown', dnssec: 'unknown' });

/** Workers lost with one recipient, until it is put aside. */
const mostCrashes = 5;

export async function openOutbound(foundation: Foundation, parts: OutboundParts): Promise<OutboundService> {
  const { config, logger, clock, stack } = foundation;
  const { database, keyring, store, tell } = parts;
  const routes = stack.use(await openPgMailRoutes({ db: database.db, keyring, logger }));
  const router = createRouter({ source: routes, isCapturingAll: config.developmentMode });
  const onError = (err: unknown): void => logger.warn({ event: 'queue.wake-failed', err }, 'workers were not woken');
  const wake = stack.use(new QueueWake(database, onError));
  const expiryMs = config.queueExpirySeconds * 1000;
  const rouse = (): void => wake.tell();
  const acceptor = stack.use(new QueueAcceptor({ database, store, router, clock, expiryMs, tell, rouse }));
  if (!config.roles.includes('outbound')) return { acceptor, worker: null, facts: nothingKnown };
  stack.use(await openQueueLimits({ db: database.db, source: routes, logger }));
  const out = config.developmentMode ? null : await openTransport(foundation, parts, routes);
  if (out) stack.use(await openPgRouteProbes({ db: database.db, routes, prober: out.transport, logger }));
  const { leaseSeconds } = config;
  const worker = new OutboundWorker({
    ...parts.sending,
    queue: new PgOutboundQueue({ database, acceptor, leaseSeconds, mostCrashes }),
    statistics: createQueueAdministration({ db: database.db, limits: (hop) => router.limits(hop), rouse }),
    directory: parts.directory,
    transport: capturingTransport(out?.transport ?? null),
    subscribe: (woken) => wake.subscribe(woken),
    leaseSeconds,
    maxLanes: config.outboundConnections,
    clock,
    logger,
    metrics: foundation.metrics,
    random: Math.random,
  });
  // Where something later can't be opened, it is stopped again; after a drain there is nothing left to stop.
  stack.defer(() => worker.stop(0));
  worker.start();
  return { acceptor, worker, facts: out?.facts ?? nothingKnown };
}

async function openTransport(
  { config, logger, clock, metrics, stack }: Foundation,
  { database, resolver, sending }: OutboundParts,
  routes: RouteSource,
): Promise<{ readonly transport: Transport & TargetProber; readonly facts: () => OutboundFacts }> {
  const { db } = database;
  const { hostname } = config;
  const validation = new ValidationWatch({
    resolver,
    clock,
    logger,
    bogusName: config.dnssecProbeName === 'none' ? '' : config.dnssecProbeName,
    tell: ({ isValidating }) => metrics.danePossible.set(Number(isValidating)),
  });
  // Says at the start whether DANE is on; nobody waits for it.
  void validation.current();
  const guard = createAddressGuard(config.privateNetworks);
  const port25 = new Port25((address) => guard.refusal(address) === null);
  const transport = createTransport({
    routes,
    resolver,
    validation: () => validation.current(),
    guard,
    port25,
    stsPolicies: createPgStsPolicies(db),
    tlsReports: stack.use(await openPgTlsSessions({ db, clock, logger })),
    rests: stack.use(await openPgSourceRests({ db, clock, logger })),
    rules: sending.rules,
    sevenBit: sending.sevenBit,
    ownName: hostname,
    isOwnName: (name) => name.toLowerCase().replace(/\.$/, '') === hostname.toLowerCase(),
    isOwnAddress: isOwnAddress(config.ownAddresses),
    clock,
    logger,
  });
  const facts = (): OutboundFacts => {
    const { last } = validation;
    const dnssec = last === null ? 'unknown' : last.isValidating ? 'validating' : 'not-validating';
    return { outboundPort25: port25.verdict, dnssec };
  };
  return { transport, facts };
}

/** RFC 5321 section 5.1: a mail host that is this machine would hand the message back to us. */
function isOwnAddress(further: readonly string[]): (address: string) => boolean {
  const own = new Set([
    ...further,
    ...Object.values(networkInterfaces()).flatMap((addresses) => (addresses ?? []).map(({ address }) => address)),
  ]);
  return (address) => own.has(address);
}
