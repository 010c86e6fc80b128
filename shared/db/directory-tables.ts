import type { ColumnType, Generated } from 'kysely';
import type { AccountId } from '#shared/base/ids.ts';
import type { DkimAlgorithm } from './sending-tables.ts';

/** What becomes of a row when its resource goes. */
export type DeletionPolicy = 'Retain' | 'Orphan' | 'Delete';

type Timestamp = ColumnType<Date | null, Date | null, Date | null>;

/** What every row that may follow a resource has. */
type Managed<By extends string> = {
  readonly resource_uid: ColumnType<string | null>;
  /** namespace/name, for people. */
  readonly resource_name: ColumnType<string | null>;
  readonly deletion_policy: Generated<DeletionPolicy>;
  /** Since when the resource is gone. */
  readonly retained_at: Timestamp;
  readonly managed_by: By;
  readonly spec_hash: ColumnType<string | null>;
  readonly created_at: Generated<Date>;
};

type DomainTable = Managed<'reconciler' | 'nobody'> & {
  readonly id: Generated<bigint>;
  readonly name: string;
  readonly subaddress_delimiter: string | null;
  readonly catch_all_local: string | null;
  readonly catch_all_domain: string | null;
  readonly suspended: Generated<boolean>;
  /** Of 0008-sending.sql, as what follows. */
  readonly messages_per_hour: ColumnType<number | null>;
  readonly messages_per_day: ColumnType<number | null>;
  readonly new_recipients_per_day: ColumnType<number | null>;
  readonly dkim_algorithms: ColumnType<DkimAlgorithm[] | null>;
  readonly dkim_rotation_seconds: ColumnType<bigint | null>;
  readonly dkim_overlap_seconds: ColumnType<bigint | null>;
  /** Of 0011-operator-rows.sql, as what follows. */
  readonly max_message_bytes: ColumnType<bigint | null>;
  readonly requires_inbound_tls: Generated<boolean>;
};

type DomainNameTable = {
  readonly name: string;
  readonly domain_id: bigint;
};

type AccountTable = Managed<'reconciler' | 'login' | 'nobody'> & {
  readonly id: Generated<AccountId>;
  readonly domain_id: bigint;
  readonly local_part: string;
  readonly display_name: string | null;
  readonly quota_bytes: bigint | null;
  readonly suspended: Generated<boolean>;
  readonly deletion_grace_seconds: Generated<bigint>;
  readonly purge_after: Timestamp;
  /** Of 0008-sending.sql, as what follows. */
  readonly messages_per_hour: ColumnType<number | null>;
  readonly messages_per_day: ColumnType<number | null>;
  readonly new_recipients_per_day: ColumnType<number | null>;
  readonly recipients_per_message: ColumnType<number | null>;
  readonly saves_sent: Generated<boolean>;
};

type AliasTable = Managed<'reconciler' | 'nobody'> & {
  readonly id: Generated<bigint>;
  readonly domain_id: bigint;
  readonly local_part: string;
  /** Of 0008-sending.sql. */
  readonly send_as: Generated<boolean>;
};

type AliasMemberTable = {
  readonly alias_id: bigint;
  readonly local_part: string;
  readonly domain_name: string;
};

/** Either `account_id` or `alias_id` is set. */
type AddressTable = {
  readonly domain_id: bigint;
  readonly local_part: string;
  readonly account_id: AccountId | null;
  readonly alias_id: bigint | null;
};

type CredentialTable = {
  readonly account_id: AccountId;
  readonly id: string;
  readonly kind: 'primary' | 'app';
  readonly name: Generated<string>;
  readonly password_hash: string;
  readonly scram_sha256: Buffer;
  readonly scram_sha1: Buffer;
  readonly seal_key_id: string;
  readonly version: Generated<bigint>;
  readonly managed_by: 'reconciler' | 'user';
  /** Of 0003-credential-secret.sql. */
  readonly secret_tag: Buffer | null;
  readonly last_used_at: Timestamp;
  readonly created_at: Generated<Date>;
};

/** The tables of 0001-directory.sql. int8 columns come as bigint. */
export type DirectoryTables = {
  readonly domain: DomainTable;
  readonly domain_name: DomainNameTable;
  readonly account: AccountTable;
  readonly alias: AliasTable;
  readonly alias_member: AliasMemberTable;
  readonly address: AddressTable;
  readonly credential: CredentialTable;
};
