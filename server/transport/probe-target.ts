/** Tries a target of a route as a message would, up to where it could be handed over, and says QUIT. */
import { unreachable } from '#shared/base/unreachable.ts';
import type { RouteTarget, SmtpTarget, TargetProbe } from '#server/mail/outbound-routes.ts';
import { Breaker } from './breaker.ts';
import type { Deadlines } from './deadlines.ts';
import type { Endpoint } from './endpoints.ts';
import type { Failure } from './failure.ts';
import { openSession } from './open-session.ts';
import type { LaneParts } from './route-lane.ts';

/** All of it; RFC 5321's own patience is for mail. */
const probeMs = 30_000;
const deadlines: Pick<Deadlines, 'connectMs' | 'handshakeMs' | 'greetingMs' | 'commandMs'> = {
  connectMs: 10_000,
  handshakeMs: 10_000,
  greetingMs: 20_000,
  commandMs: 10_000,
};

export async function probeTarget(parts: LaneParts, target: RouteTarget, signal: AbortSignal): Promise<TargetProbe> {
  switch (target.kind) {
    case 'smarthost':
    case 'lmtp':
      return probeHost(parts, target, signal);
    case 'direct':
      return notProbed('Direct', 'where mail goes depends on its recipients');
    case 'http':
      return notProbed(`HTTP ${target.url}`, 'a request would be a message');
    case 'capture':
      return notProbed('Capture', 'nothing leaves');
    default:
      return unreachable(target);
  }
}

function notProbed(target: string, message: string): TargetProbe {
  return { target, state: 'NotProbed', reason: 'NotProbed', message, latencyMs: null };
}

async function probeHost(parts: LaneParts, target: SmtpTarget, stop: AbortSignal): Promise<TargetProbe> {
  const { clock } = parts;
  const signal = AbortSignal.any([stop, AbortSignal.timeout(probeMs)]);
  const startedAt = clock.monotonicMs();
  const failure = await open(parts, target, signal);
  const latencyMs = Math.round(clock.monotonicMs() - startedAt);
  const name = `${target.kind === 'lmtp' ? 'LMTP' : 'Smarthost'} ${nameOf(target)}`;
  if (failure === null) return { target: name, state: 'Reachable', reason: 'Reachable', message: '', latencyMs };
  const { reply, address } = failure;
  const said = [reply.code, reply.text].filter((each) => each !== null).join(' ');
  const message = address === null ? said : `${said} (${address})`;
  return { target: name, state: 'Unreachable', reason: reasonOf(failure), message, latencyMs };
}

/** Null: it would take mail. */
async function open(parts: LaneParts, target: SmtpTarget, signal: AbortSignal): Promise<Failure | null> {
  // What probes see is not held against the target: its mail looks for itself.
  const own = { ...parts, addresses: new Breaker(parts.clock), deadlines: { ...parts.deadlines, ...deadlines } };
  let last: Failure | null = null;
  const wanted = { domain: null, requiresTls: false, isTlsWaived: false, signal };
  for await (const found of parts.endpoints.of(target, wanted)) {
    if (!isEndpoint(found)) {
      last = 'failure' in found ? found.failure : found;
      continue;
    }
    const opened = await openSession(own, found, target.host, signal);
    if (!('session' in opened)) {
      last = opened;
      continue;
    }
    await opened.session.close();
    return null;
  }
  return last;
}

function isEndpoint(found: Endpoint | object): found is Endpoint {
  return 'peers' in found;
}

function reasonOf({ category }: Failure): TargetProbe['reason'] {
  switch (category) {
    case 'dns':
      return 'DNSFailure';
    case 'tls':
      return 'TLSFailed';
    case 'auth':
      return 'AuthFailed';
    case 'refused':
      return 'Refused';
    default:
      return 'ConnectFailed';
  }
}

function nameOf({ host, port }: SmtpTarget): string {
  if (host.startsWith('/')) return host;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
