/** The transport of outbound mail, put together. */
import type { Clock } from '#shared/base/clock.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { AddressGuard } from '#shared/dns/address-guard.ts';
import type { Resolver } from '#shared/dns/answer.ts';
import type { Validation } from '#shared/dns/validation.ts';
import type { ReplyRules, SevenBitMessages, Transport } from '#server/mail/outbound-ports.ts';
import type {
  RouteSource,
  SourceRests,
  StsPolicyStore,
  TargetProber,
  TlsReportStore,
} from '#server/mail/outbound-routes.ts';
import { Breaker } from './breaker.ts';
import { defaultDeadlines, type Deadlines } from './deadlines.ts';
import { Endpoints } from './endpoints.ts';
import { probeTarget } from './probe-target.ts';
import type { Port25 } from './port-25.ts';
import { RouteLane, type LaneParts } from './route-lane.ts';
import { findRoute } from './router.ts';
import { StsPolicies } from './sts-policies.ts';
import { TlsPolicies } from './tls-policies.ts';

export type TransportOptions = {
  readonly routes: RouteSource;
  readonly resolver: Resolver;
  readonly validation: () => Promise<Validation>;
  readonly guard: AddressGuard;
  readonly port25: Port25;
  readonly stsPolicies: StsPolicyStore;
  readonly tlsReports: TlsReportStore;
  readonly rests: SourceRests;
  /** Null: no reply says that an address of ours is blocked. */
  readonly rules: ReplyRules | null;
  /** Null: messages are not converted for peers without 8BITMIME. */
  readonly sevenBit: SevenBitMessages | null;
  /** What EHLO says: our name, fully qualified. */
  readonly ownName: string;
  readonly isOwnName: (name: string) => boolean;
  readonly isOwnAddress: (address: string) => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  /** 0 to 1; Math.random unless told. */
  readonly random?: () => number;
  readonly deadlines?: Partial<Deadlines>;
};

/** All routes but `capture`, which never comes here. */
export function createTransport(options: TransportOptions): Transport & TargetProber {
  const { resolver, clock, logger, guard } = options;
  const random = options.random ?? Math.random;
  const isAllowedAddress = (address: string): boolean => guard.refusal(address) === null;
  const sts = new StsPolicies({ resolver, store: options.stsPolicies, clock, logger, isAllowedAddress });
  const policies = new TlsPolicies({ resolver, validation: options.validation, sts, clock });
  const { isOwnName, isOwnAddress, ownName, rules, sevenBit, rests, port25 } = options;
  const parts: LaneParts = {
    endpoints: new Endpoints({ resolver, guard, policies, isOwnName, isOwnAddress, random }),
    targets: new Breaker(clock),
    addresses: new Breaker(clock),
    port25,
    deadlines: { ...defaultDeadlines, ...options.deadlines },
    reports: options.tlsReports,
    rests,
    rules,
    sevenBit,
    ownName,
    random,
    clock,
    logger,
  };
  return {
    openLane: (hop) => new RouteLane(parts, hop, () => findRoute(options.routes, hop)),
    probe: (target, signal) => probeTarget(parts, target, signal),
  };
}
