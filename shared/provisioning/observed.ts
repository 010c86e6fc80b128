import type { AccountId } from '#shared/base/ids.ts';
import type { DeletionPolicy } from '#shared/db/directory-tables.ts';
import type { MailAddress } from '#shared/text/address.ts';
import type { ObservedRoute } from './mail-route-plan.ts';
import type { Named } from './wanted.ts';

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
  /** Other names it goes by. */
  readonly aliasDomains: readonly string[];
  readonly subaddressDelimiter: string | null;
  readonly catchAll: MailAddress | null;
  readonly suspended: boolean;
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
    /** Further addresses. */
    readonly aliases: readonly Named[];
    /** Whether its primary credential is the password that is wanted of it now, or there is none yet. */
    readonly password: 'none' | 'same' | 'other';
  };

export type ObservedAlias = ObservedRow &
  Named & {
    readonly id: bigint;
    readonly members: readonly MailAddress[];
  };

export type ObservedDirectory = {
  readonly domains: readonly ObservedDomain[];
  readonly accounts: readonly ObservedAccount[];
  readonly aliases: readonly ObservedAlias[];
  readonly routes: readonly ObservedRoute[];
};

/** It follows no resource, or none any more from this plan on. `uids` are those of all resources. */
export function followsNone(row: ObservedRow, uids: ReadonlySet<string>): boolean {
  if (row.resourceUid === null) return true;
  return !uids.has(row.resourceUid) && !row.isRetained && row.deletionPolicy === 'Orphan';
}
