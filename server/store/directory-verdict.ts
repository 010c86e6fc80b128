import type { AccountId } from '#shared/base/ids.ts';
import type { Resolution } from '#shared/directory/resolve-recipient.ts';
import { formatAddress } from '#shared/text/address.ts';
import type { RecipientVerdict } from '#server/mail/ports.ts';

/** What is known of an account when mail comes for it. */
export type RecipientAccount = {
  readonly accountId: AccountId;
  /** As it is written, for Delivered-To. */
  readonly address: string;
  readonly isSuspended: boolean;
  /** null: no limit. */
  readonly quotaBytes: bigint | null;
  readonly usedBytes: bigint;
};

/**
 * Whether they get it. An alias passes over its suspended members, as long as one isn't: that was the
 * administrator's will. It refuses, for now, when a member has no room: there is one reply for all of them, and who
 * was left out would never hear of it.
 */
export function recipientVerdict(
  resolution: Resolution,
  accounts: ReadonlyMap<AccountId, RecipientAccount>,
  declaredBytes: number,
): RecipientVerdict {
  if (resolution.kind !== 'accounts') return resolution;
  const active = resolution.accountIds
    .map((id) => accounts.get(id))
    .filter((account) => account !== undefined)
    .filter((account) => !account.isSuspended);
  const forwards = resolution.elsewhere.map((address) => formatAddress(address));
  if (active.length === 0 && forwards.length === 0) return { kind: 'suspended' };
  if (active.some((account) => isFull(account, declaredBytes))) return { kind: 'over-quota' };
  return { kind: 'local', accounts: active.map(({ accountId, address }) => ({ accountId, address })), forwards };
}

/** Whether the address that resolved so is this account's alone, and the account may be used. */
export function isSenderOf(
  accountId: AccountId,
  resolution: Resolution,
  accounts: ReadonlyMap<AccountId, RecipientAccount>,
): boolean {
  if (resolution.kind !== 'accounts' || resolution.accountIds.length !== 1 || resolution.elsewhere.length > 0)
    return false;
  return resolution.accountIds[0] === accountId && accounts.get(accountId)?.isSuspended === false;
}

function isFull({ quotaBytes, usedBytes }: RecipientAccount, declaredBytes: number): boolean {
  // A size that was not declared is one byte at least.
  return quotaBytes !== null && usedBytes + BigInt(Math.max(1, declaredBytes)) > quotaBytes;
}
