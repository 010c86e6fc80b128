/**
 * Routes: which way mail goes, as administrators wish it. Rows of the directory; `RouteSource` gives those of now.
 * A route that says nothing of a message leaves it to the next, and at last to `direct`.
 */

export type Credentials = { readonly user: string; readonly password: string };

/** A SOCKS5 proxy by its address. */
export type SocksProxy = {
  readonly address: string;
  readonly port: number;
  readonly credentials: Credentials | null;
};

/**
 * - `opportunistic`: what the peer's own policies ask for (DANE, MTA-STS), else TLS where it is offered.
 * - `required`: TLS with a certificate that names the host, from a known authority or the route's own.
 * - `implicit`: the same, with TLS from the first byte.
 * - `dane`, `mta-sts`: nothing goes where the peer has no such policy.
 * - `disabled`: none.
 */
export type TlsDemand = 'opportunistic' | 'required' | 'implicit' | 'dane' | 'mta-sts' | 'disabled';

/** How the connection leaves us. */
export type Egress = {
  /** Connections start at one of these; empty: where the system chooses. One that a destination blocks rests. */
  readonly sourceAddresses: readonly string[];
  readonly socks: SocksProxy | null;
};

type TargetBase = {
  /** Lower first; the next is taken when all of one number fail. */
  readonly priority: number;
  /** Share among targets of one priority, 1 or more. */
  readonly weight: number;
};

export type SmtpTarget = TargetBase & {
  readonly kind: 'smarthost' | 'lmtp';
  /** A host name, an IP address, or for LMTP the path of a socket. */
  readonly host: string;
  readonly port: number;
  readonly tls: TlsDemand;
  /** PEM; null: the authorities that the system knows. */
  readonly ca: string | null;
  readonly credentials: Credentials | null;
  readonly egress: Egress;
};

export type DirectTarget = TargetBase & {
  readonly kind: 'direct';
  readonly port: number;
  readonly tls: TlsDemand;
  /** Networks that mail may go to though they are otherwise refused (loopback, Pods); in CIDR notation. */
  readonly allowedNetworks: readonly string[];
  readonly egress: Egress;
};

/** The message is POSTed; the request is signed with `key` (RFC 9421). */
export type HttpTarget = TargetBase & { readonly kind: 'http'; readonly url: string; readonly key: Buffer | null };

/** Kept and marked; nothing leaves. */
export type CaptureTarget = TargetBase & { readonly kind: 'capture' };

export type RouteTarget = SmtpTarget | DirectTarget | HttpTarget | CaptureTarget;

export type Route = {
  /** namespace/name of the resource; `direct` and `capture` are no resources. */
  readonly name: string;
  /** Lower first. */
  readonly priority: number;
  /** Domains, or "*.example.org" for those below one; empty: all. */
  readonly senderDomains: readonly string[];
  readonly recipientDomains: readonly string[];
  readonly targets: readonly RouteTarget[];
  readonly maxConnections: number;
  readonly messagesPerMinute: number | null;
};

export interface RouteSource {
  /** By priority, then by name. As of a few seconds ago at most; never waits. */
  readonly routes: readonly Route[];
}

/** What came of trying to reach a target, without handing anything over. */
export type TargetProbe = {
  /** Its kind and where it is, for people. */
  readonly target: string;
  readonly state: 'Reachable' | 'Unreachable' | 'NotProbed';
  /** One word of the condition Reachable (docs/conditions.md). */
  readonly reason: 'Reachable' | 'DNSFailure' | 'ConnectFailed' | 'TLSFailed' | 'AuthFailed' | 'Refused' | 'NotProbed';
  /** What went wrong; empty where nothing did. */
  readonly message: string;
  /** Until it was ready to take mail; null: not probed. */
  readonly latencyMs: number | null;
};

export interface TargetProber {
  /** Takes half a minute at most, and rejects for bugs alone. */
  probe(target: RouteTarget, signal: AbortSignal): Promise<TargetProbe>;
}

/** RFC 8461 section 3.2, as it was fetched. */
export type StsPolicy = {
  /** Of the TXT record. */
  readonly id: string;
  readonly mode: 'enforce' | 'testing' | 'none';
  readonly mx: readonly string[];
  readonly maxAgeSeconds: number;
  readonly expiresAt: Date;
  /** When the TXT record was looked at last. */
  readonly checkedAt: Date;
};

/** What is known of domains' MTA-STS policies, for all processes and over restarts. */
export interface StsPolicyStore {
  /** Null: none, or one that has expired. */
  get(domain: string): Promise<StsPolicy | null>;
  put(domain: string, policy: StsPolicy): Promise<void>;
}

/** RFC 8460 section 4: one kind of session, to be counted. */
export type TlsSession = {
  readonly policyDomain: string;
  readonly policyType: 'tlsa' | 'sts' | 'no-policy-found';
  /** RFC 8460 section 4.2, `policy-string` and `mx-host`. */
  readonly policyStrings: readonly string[];
  readonly policyMx: readonly string[];
  /** `success` or a result-type of section 4.3. */
  readonly result: string;
  readonly receivingMx: string;
  readonly receivingAddress: string | null;
  readonly sendingAddress: string | null;
};

export interface TlsReportStore {
  /** Adds to the counters of the day (UTC). May lose what the last seconds before a crash counted. */
  record(session: TlsSession): void;
}

/** Which of our addresses a destination has turned away, for all processes. */
export interface SourceRests {
  /** Those of `addresses` that may be used towards `destination` now; never waits. */
  rested(destination: string, addresses: readonly string[]): readonly string[];
  /** The destination blocks this address of ours; longer each time. */
  block(destination: string, address: string, reason: string): void;
  /** It took mail from it. */
  clear(destination: string, address: string): void;
}
