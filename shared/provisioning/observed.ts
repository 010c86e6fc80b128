import type { AccountId } from '#shared/base/ids.ts';
import type { DeletionPolicy } from '#shared/db/directory-tables.ts';
import type { DkimAlgorithm } from '#shared/db/sending-tables.ts';
import type { MailAddress } from '#shared/text/address.ts';
import type { ObservedCredential } from './credential-plan.ts';
import type { ObservedRoute } from './mail-route-plan.ts';
import type { Named, SendingLimits } from './wanted.ts';

/** What a row is like, whichever resource it follows, if any. */
export type ObservedRow = {
  readonly resourceUid: string | null;
  readonly resourceName: string | null;
  readonly deletionPolicy: DeletionPolicy;
  /** Its resource is gone. */
  readonly isRetained: boolean;
  readonly managedBy: 'reconciler' | 'login' | 'nobody';
  readonly specHash: string | null;
};

export type ObservedDomain = ObservedRow & {
  readonly id: bigint;
  readonly name: string;
  /** Whether it goes by its own name: nothing but a hand in the database makes it false. */
  readonly hasOwnName: boolean;
  /** Other names it goes by. */
  readonly aliasDomains: readonly string[];
  readonly subaddressDelimiter: string | null;
  readonly catchAll: MailAddress | null;
  readonly suspended: boolean;
  readonly limits: SendingLimits;
  readonly dkim: {
    readonly algorithms: readonly DkimAlgorithm[] | null;
    readonly rotationSeconds: number | null;
    readonly overlapSeconds: number | null;
  };
  readonly maxMessageBytes: bigint | null;
  readonly requiresInboundTls: boolean;
};

export type ObservedAccount = ObservedRow &
  Named & {
    readonly id: AccountId;
    readonly displayName: string | null;
    readonly quotaBytes: bigint | null;
    readonly suspended: boolean;
    readonly graceSeconds: number;
    /** Its grace period is over. */
    readonly isPurgeDue: boolean;
    /** Whether its own address leads to it: nothing but a hand in the database makes it false. */
    readonly hasOwnAddress: boolean;
    /** Further addresses. */
    readonly aliases: readonly Named[];
    readonly limits: SendingLimits & { readonly recipientsPerMessage: number | null };
    readonly savesSent: boolean;
    /** Whether its primary credential is the password that is wanted of it now, or there is none yet. */
    readonly password: 'none' | 'same' | 'other';
  };

export type ObservedAlias = ObservedRow &
  Named & {
    readonly id: bigint;
    /** As `ObservedAccount.hasOwnAddress`. */
    readonly hasOwnAddress: boolean;
    readonly members: readonly MailAddress[];
    readonly sendAs: boolean;
  };

export type ObservedDirectory = {
  readonly domains: readonly ObservedDomain[];
  readonly accounts: readonly ObservedAccount[];
  readonly aliases: readonly ObservedAlias[];
  readonly routes: readonly ObservedRoute[];
  readonly credentials: readonly ObservedCredential[];
};

/** UIDs by what becomes of the rows that follow them. */
export type Uids = {
  /** Of resources that the plan makes rows follow. */
  readonly wanted: ReadonlySet<string>;
  /** Of resources whose rows stay as they are: they have faults, or are missing and nobody knows why. */
  readonly kept: ReadonlySet<string>;
};

/**
 * What a row is to a plan: it follows a resource that is wanted; it stays as it is; no resource has it, from this plan
 * on at least; or its resource is gone and it goes by its deletionPolicy.
 */
export type Standing = 'followed' | 'kept' | 'loose' | 'gone';

export function standingOf(row: ObservedRow, { wanted, kept }: Uids): Standing {
  if (row.resourceUid === null) return 'loose';
  if (kept.has(row.resourceUid)) return 'kept';
  if (wanted.has(row.resourceUid)) return 'followed';
  return !row.isRetained && row.deletionPolicy === 'Orphan' ? 'loose' : 'gone';
}
