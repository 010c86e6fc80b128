/**
 * Whom an address leads to. Pure: `facts` are read beforehand, in one query (server/store) or from the resources
 * that are about to be applied (shared/provisioning), so that both follow the same rules.
 *
 * An address is looked for as it is, then without its detail (alice+list), then the domain's catch-all has it. An
 * alias leads to what its members lead to, by the same rules, and to members at other domains. An alias domain's addresses are its domain's.
 */
import type { AccountId } from '#shared/base/ids.ts';
import { canonicalAddress, formatAddress, splitSubaddress } from '#shared/text/address.ts';
import type { MailAddress } from '#shared/text/address.ts';

/** Aliases that name aliases: levels that are followed. */
export const maxAliasDepth = 8;

/** Accounts that one address may lead to; each gets its own copy in the transaction of the delivery. */
export const maxAliasAccounts = 1000;

export type DomainFacts = {
  /** The domain's own name, also where it was asked for by an alias domain's. */
  readonly name: string;
  /** null: no sub-addresses. */
  readonly subaddressDelimiter: string | null;
  readonly catchAll: MailAddress | null;
  readonly suspended: boolean;
};

export type AddressFacts<Id = AccountId> =
  | { readonly kind: 'account'; readonly accountId: Id }
  | { readonly kind: 'alias'; readonly members: readonly MailAddress[] }
  /** Its resource is gone and it was retained: nobody gets its mail, the catch-all neither. */
  | { readonly kind: 'retained' };

export interface DirectoryFacts<Id = AccountId> {
  /** By a name it goes by; null: not ours (any more). */
  domain(name: string): DomainFacts | null;
  /** By the domain's own name and a canonical local part. */
  address(domain: string, localPart: string): AddressFacts<Id> | null;
}

export type Resolution<Id = AccountId> =
  /** Each once, in the order they were found; at least one account, or address at another domain. */
  | { readonly kind: 'accounts'; readonly accountIds: readonly Id[]; readonly elsewhere: readonly MailAddress[] }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'suspended' }
  | { readonly kind: 'remote' };

export function resolveRecipient<Id>(address: MailAddress, facts: DirectoryFacts<Id>): Resolution<Id> {
  const domain = facts.domain(address.domain);
  if (!domain) return { kind: 'remote' };
  if (domain.suspended) return { kind: 'suspended' };
  const search: Search<Id> = { facts, found: new Set(), elsewhere: new Map(), seen: new Set(), hasMetSuspended: false };
  let level: readonly MailAddress[] = [address];
  for (let depth = 0; depth <= maxAliasDepth && level.length > 0; depth++) {
    level = level.flatMap((each) => follow(each, search));
  }
  const { found, elsewhere } = search;
  if (found.size > 0 || elsewhere.size > 0) {
    return { kind: 'accounts', accountIds: [...found], elsewhere: [...elsewhere.values()] };
  }
  return { kind: search.hasMetSuspended ? 'suspended' : 'unknown' };
}

type Search<Id> = {
  readonly facts: DirectoryFacts<Id>;
  readonly found: Set<Id>;
  /** Members at other domains, by their canonical form. */
  readonly elsewhere: Map<string, MailAddress>;
  readonly seen: Set<string>;
  /** A member is at a domain that is suspended: the address exists, and may be used again. */
  hasMetSuspended: boolean;
};

/** Adds the account that the address is of, or returns the addresses to follow instead of it. */
function follow<Id>(address: MailAddress, search: Search<Id>): readonly MailAddress[] {
  const { facts, found, elsewhere, seen } = search;
  const domain = facts.domain(address.domain);
  if (!domain) {
    const key = formatAddress(canonicalAddress(address));
    if (!elsewhere.has(key)) elsewhere.set(key, address);
    return [];
  }
  if (domain.suspended) {
    search.hasMetSuspended = true;
    return [];
  }
  const { localPart } = canonicalAddress(address);
  // A loop of aliases, and two ways to one address, end here.
  const key = `${localPart}@${domain.name}`;
  if (seen.has(key)) return [];
  seen.add(key);
  const match = findAddress(localPart, domain, facts);
  if (match?.kind === 'account') found.add(match.accountId);
  if (match?.kind === 'alias') return match.members;
  return match === null && domain.catchAll ? [domain.catchAll] : [];
}

function findAddress<Id>(localPart: string, domain: DomainFacts, facts: DirectoryFacts<Id>): AddressFacts<Id> | null {
  const exact = facts.address(domain.name, localPart);
  if (exact || domain.subaddressDelimiter === null) return exact;
  const split = splitSubaddress(localPart, domain.subaddressDelimiter);
  return split && facts.address(domain.name, split.user);
}
