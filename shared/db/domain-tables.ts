import type { Generated } from 'kysely';

export type CertificateSource = 'cert-manager' | 'secret' | 'self-signed' | 'acme';

type CertificateTable = {
  readonly id: Generated<bigint>;
  readonly owner: string;
  readonly resource_name: string;
  readonly source: CertificateSource;
  readonly names: readonly string[];
  readonly is_default: boolean;
  readonly not_after: Date;
  readonly material: Buffer;
  readonly seal_key_id: string;
  readonly version: Generated<number>;
  readonly updated_at: Generated<Date>;
};

type DomainClaimTable = {
  readonly namespace: string;
  readonly domain: string;
  readonly proved_at: Generated<Date>;
  /** 0022-domains-that-change-hands.sql */
  readonly missing_since: Date | null;
};

/** The tables of 0012-domain-facts.sql. */
export type DomainTables = {
  readonly certificate: CertificateTable;
  readonly domain_claim: DomainClaimTable;
};
