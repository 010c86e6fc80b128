/** Which route a message takes. Pure for the routes that are known. */
import { captureRoute, directRoute } from '#server/mail/outbound-ports.ts';
import type { NextHop, NextHopLimits, OutboundEnvelope, Router } from '#server/mail/outbound-ports.ts';
import type { Route, RouteSource } from '#server/mail/outbound-routes.ts';
import { parseAddress } from '#shared/text/address.ts';

/** Where a route says nothing. */
export const defaultMaxConnections = 10;

/** Without any route: by the recipient's MX. */
const builtInDirect: Route = {
  name: directRoute,
  priority: Number.MAX_SAFE_INTEGER,
  senderDomains: [],
  recipientDomains: [],
  targets: [
    {
      kind: 'direct',
      priority: 0,
      weight: 1,
      port: 25,
      tls: 'opportunistic',
      allowedNetworks: [],
      egress: { sourceAddresses: [], socks: null },
    },
  ],
  maxConnections: defaultMaxConnections,
  messagesPerMinute: null,
};

export type RouterOptions = {
  readonly source: RouteSource;
  /** Development mode: nothing leaves, whatever the routes say. */
  readonly isCapturingAll: boolean;
};

/** The first route by priority that names both the sender's and the recipient's domain, or says nothing of them. */
export function createRouter({ source, isCapturingAll }: RouterOptions): Router {
  return {
    nextHop: (envelope, recipient) => {
      if (isCapturingAll) return { route: captureRoute, domain: null };
      const domain = parseAddress(recipient)?.domain ?? '';
      const route = source.routes.find((each) => isFor(each, envelope, domain)) ?? builtInDirect;
      return hopOf(route, domain);
    },
    limits: (hop): NextHopLimits => {
      const route = findRoute(source, hop);
      return {
        maxLanes: route?.maxConnections ?? defaultMaxConnections,
        perMinute: route?.messagesPerMinute ?? null,
      };
    },
  };
}

/** Null: it is gone. */
export function findRoute({ routes }: RouteSource, { route: name }: NextHop): Route | null {
  return name === directRoute ? builtInDirect : (routes.find((route) => route.name === name) ?? null);
}

function isFor(
  { senderDomains, recipientDomains }: Route,
  envelope: Pick<OutboundEnvelope, 'domain'>,
  recipientDomain: string,
): boolean {
  return matches(senderDomains, envelope.domain) && matches(recipientDomains, recipientDomain);
}

/** "*.example.org" is every domain below example.org, and not itself. */
function matches(domains: readonly string[], domain: string): boolean {
  if (domains.length === 0) return true;
  return domains.some((each) => (each.startsWith('*.') ? domain.endsWith(each.slice(1)) : each === domain));
}

function hopOf(route: Route, domain: string): NextHop {
  if (route.targets.some(({ kind }) => kind === 'capture')) return { route: captureRoute, domain: null };
  // Where all goes to the same hosts, all of it shares the bounds of those hosts.
  const isByDomain = route.targets.some(({ kind }) => kind === 'direct');
  return { route: route.name, domain: isByDomain ? domain : null };
}
