import type { Generated } from 'kysely';
import type { AccountId } from '#shared/base/ids.ts';

type OutboundMessageTable = {
  readonly id: Generated<bigint>;
  readonly blob_hash: Buffer;
  readonly prefix: Buffer;
  /** Of prefix and blob. */
  readonly size: bigint;
  readonly origin: 'submission' | 'forward' | 'notice';
  readonly account_id: AccountId | null;
  readonly domain: string;
  readonly sender: string;
  readonly return_path: string | null;
  readonly envid: string | null;
  readonly ret: 'full' | 'headers' | null;
  readonly body: '7bit' | '8bitmime';
  readonly smtputf8: boolean;
  readonly requiretls: boolean;
  readonly deliver_by: Date | null;
  readonly deliver_by_mode: 'return' | 'notify' | null;
  readonly deliver_by_trace: boolean;
  readonly hold_until: Date | null;
  readonly priority: number;
  readonly trace_id: string;
  readonly message_id: string | null;
  readonly accepted_at: Generated<Date>;
  readonly expires_at: Date;
};

type OutboundDestinationTable = {
  readonly id: Generated<bigint>;
  readonly route: string;
  /** Empty: one next hop for all domains. */
  readonly domain: string;
  readonly next_due: Date | null;
  readonly lanes: Generated<number>;
  readonly bearable: number;
  readonly max_lanes: number;
  readonly is_open: Generated<boolean>;
  readonly per_minute: number | null;
  readonly rate_at: Date | null;
  readonly blocked_until: Date | null;
  readonly blocked_reason: string | null;
  readonly blocked_times: Generated<number>;
  readonly marks: Generated<readonly Date[]>;
  readonly marked_at: Generated<Date>;
};

type OutboundRecipientTable = {
  readonly id: Generated<bigint>;
  readonly message_id: bigint;
  readonly destination_id: bigint;
  /** 0 high, 1 normal, 2 low. */
  readonly class: number;
  readonly state: Generated<'queued' | 'held' | 'dead' | 'captured'>;
  readonly due_at: Date;
  readonly lease: bigint | null;
  readonly address: string;
  readonly domain: string;
  readonly notify: string | null;
  readonly orcpt: string | null;
  readonly attempts: Generated<number>;
  readonly crashes: Generated<number>;
  readonly delay_notices: Generated<number>;
  readonly first_attempt_at: Date | null;
  readonly reason: string | null;
  readonly wanted: 'hold' | 'cancel' | 'cancel-quietly' | null;
};

type OutboundWorkerTable = { readonly id: string; readonly name: string; readonly alive_until: Date };

type OutboundLaneTable = {
  readonly token: Generated<bigint>;
  readonly worker_id: string;
  readonly destination_id: bigint;
  readonly recipient_ids: readonly bigint[];
};

type OutboundAttemptTable = {
  readonly message_id: bigint;
  readonly recipient_id: bigint;
  readonly token: bigint;
  readonly at: Generated<Date>;
  readonly attempt: number;
  readonly address: string;
  readonly outcome: string;
  readonly category: string | null;
  readonly uncertain: Generated<boolean>;
  readonly stale: Generated<boolean>;
  readonly code: number | null;
  readonly status: string | null;
  readonly reply: string | null;
  readonly host: string | null;
  readonly host_address: string | null;
  readonly source_address: string | null;
  readonly tls_version: string | null;
  readonly tls_cipher: string | null;
  readonly tls_policy: string | null;
  readonly tls_verified: boolean | null;
  readonly tls_result: string | null;
  readonly ms: number | null;
};

export type OutboundTables = {
  readonly outbound_message: OutboundMessageTable;
  readonly outbound_destination: OutboundDestinationTable;
  readonly outbound_recipient: OutboundRecipientTable;
  readonly outbound_worker: OutboundWorkerTable;
  readonly outbound_lane: OutboundLaneTable;
  readonly outbound_attempt: OutboundAttemptTable;
};
