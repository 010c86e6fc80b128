import type { ColumnType, Generated } from 'kysely';
import type { AccountId } from '#shared/base/ids.ts';

export type DkimAlgorithm = 'rsa2048' | 'ed25519';

/** See 0008-sending.sql. */
export type DkimKeyState = 'pending' | 'active' | 'retiring';

type DkimKeyTable = {
  readonly domain_id: bigint;
  readonly selector: string;
  readonly algorithm: DkimAlgorithm;
  readonly state: DkimKeyState;
  readonly public_key: string;
  readonly private_key: Buffer;
  readonly seal_key_id: string;
  readonly state_since: Generated<Date>;
  /** Of 0012-domain-facts.sql. */
  readonly seen_at: ColumnType<Date | null, Date | null | undefined, Date | null>;
};

type SuppressionTable = {
  readonly domain: string;
  readonly address: string;
  readonly origin: 'bounce' | 'complaint' | 'manual';
  readonly reason: string;
  readonly hits: Generated<number>;
  readonly since: Generated<Date>;
  readonly expires_at: Date | null;
};

type SendingRateTable = { readonly subject: string; readonly kind: string; readonly tat: Date };

type KnownRecipientTable = { readonly account_id: AccountId; readonly address: string };

/** The tables of 0008-sending.sql. */
export type SendingTables = {
  readonly dkim_key: DkimKeyTable;
  readonly suppression: SuppressionTable;
  readonly sending_rate: SendingRateTable;
  readonly known_recipient: KnownRecipientTable;
};
