/** What a server tells of itself, beside its name and version. Anything may be unknown; nothing here is secret. */
export type InstanceFacts = {
  /** Takes traffic. */
  readonly isReady: boolean;
  readonly isDraining: boolean;
  /** That all its processes may open. */
  readonly databaseConnections: number;
  /** Whether other systems can be reached on port 25: many networks block it. */
  readonly outboundPort25: 'open' | 'blocked' | 'unknown';
  /** Whether the resolver can be believed in what it says of DNSSEC (RFC 7672 section 2.2). */
  readonly dnssec: 'validating' | 'not-validating' | 'unknown';
  /** Whether clients come with addresses of their own, or with that of something in between. */
  readonly clientAddresses: 'preserved' | 'masked' | 'unknown';
  /** Open connections by listener. */
  readonly sessions: Readonly<Record<string, number>>;
};
