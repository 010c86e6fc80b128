import type { ColumnType, Generated } from 'kysely';

type MailRouteTable = {
  readonly id: Generated<bigint>;
  readonly resource_uid: string;
  readonly resource_name: string;
  readonly priority: number;
  readonly sender_domains: readonly string[];
  readonly recipient_domains: readonly string[];
  /** JSON: read as values, written as text. */
  readonly spec: ColumnType<unknown, string, string>;
  readonly secrets: Buffer | null;
  readonly seal_key_id: string;
  readonly secret_tag: Buffer;
  readonly spec_hash: string;
  readonly created_at: Generated<Date>;
};

type StsPolicyTable = {
  readonly domain: string;
  readonly policy_id: string;
  readonly mode: 'enforce' | 'testing' | 'none';
  readonly mx: readonly string[];
  readonly max_age_seconds: number;
  readonly expires_at: Date;
  readonly checked_at: Date;
};

type TlsSessionCountTable = {
  readonly day: ColumnType<string, string, string>;
  readonly key: Buffer;
  readonly policy_domain: string;
  readonly policy_type: 'tlsa' | 'sts' | 'no-policy-found';
  readonly policy_strings: readonly string[];
  readonly policy_mx: readonly string[];
  readonly result: string;
  readonly receiving_mx: string;
  readonly receiving_address: string;
  readonly sending_address: string;
  readonly sessions: bigint;
};

type SourceRestTable = {
  readonly destination: string;
  readonly address: string;
  readonly blocks: number;
  readonly reason: string;
  readonly until: Date;
};

type MailRouteProbeTable = {
  readonly resource_uid: string;
  readonly spec_hash: string;
  readonly secret_tag: Buffer;
  readonly taken_at: Date;
  readonly probed_at: Date | null;
  /** JSON: read as values, written as text. */
  readonly targets: ColumnType<unknown, string | undefined, string>;
};

/** The tables of 0009-routes.sql and 0018-route-probes.sql. int8 columns come as bigint. */
export type RouteTables = {
  readonly mail_route: MailRouteTable;
  readonly mail_route_probe: MailRouteProbeTable;
  readonly sts_policy: StsPolicyTable;
  readonly tls_session_count: TlsSessionCountTable;
  readonly source_rest: SourceRestTable;
};
