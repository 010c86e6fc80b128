import type { ColumnType, Generated } from 'kysely';

type OperatorLeaderTable = {
  readonly name: string;
  readonly epoch: bigint;
  readonly holder: string;
  readonly since: Generated<Date>;
};

type MailCredentialTable = {
  readonly id: Generated<bigint>;
  readonly resource_uid: string;
  readonly resource_name: string;
  readonly username: string;
  readonly allowed_senders: readonly string[];
  readonly messages_per_hour: number | null;
  readonly messages_per_day: number | null;
  readonly new_recipients_per_day: number | null;
  readonly overlap_seconds: bigint;
  readonly spec_hash: string;
  readonly created_at: Generated<Date>;
};

type MailCredentialPasswordTable = {
  readonly credential_id: bigint;
  readonly id: string;
  readonly password_hash: string;
  readonly scram_sha256: Buffer;
  readonly scram_sha1: Buffer;
  readonly seal_key_id: string;
  readonly secret_tag: Buffer;
  readonly expires_at: ColumnType<Date | null, Date | null, Date | null>;
  readonly last_used_at: ColumnType<Date | null, Date | null, Date | null>;
  readonly created_at: Generated<Date>;
};

/** The tables of 0011-operator-rows.sql. int8 columns come as bigint. */
export type OperatorTables = {
  readonly operator_leader: OperatorLeaderTable;
  readonly mail_credential: MailCredentialTable;
  readonly mail_credential_password: MailCredentialPasswordTable;
};
