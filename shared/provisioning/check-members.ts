import { maxAliasAccounts, maxAliasDepth, resolveRecipient } from '#shared/directory/resolve-recipient.ts';
import type { AddressFacts, DirectoryFacts, DomainFacts } from '#shared/directory/resolve-recipient.ts';
import { formatAddress } from '#shared/text/address.ts';
import type { MailAddress } from '#shared/text/address.ts';
import { faultAt } from './manifest.ts';
import type { ManifestFault } from './manifest.ts';
import { followsNone } from './observed.ts';
import type { ObservedDirectory, ObservedRow } from './observed.ts';
import { addressKey, uidsOf } from './wanted.ts';
import type { WantedAlias, WantedDirectory } from './wanted.ts';

/** Whether all aliases and catch-alls lead somewhere, by the rules that deliveries follow. */
export function checkMembers(wanted: WantedDirectory, observed: ObservedDirectory): readonly ManifestFault[] {
  const facts = factsOf(wanted, observed);
  return [
    ...wanted.domains.flatMap(({ catchAll, at }) => {
      const reason = catchAll && whyNowhere(catchAll, facts);
      return reason ? [faultAt(at(['spec', 'catchAll']), reason)] : [];
    }),
    ...wanted.aliases.flatMap((alias) => checkAlias(alias, wanted, facts)),
  ];
}

function checkAlias(
  alias: WantedAlias,
  wanted: WantedDirectory,
  facts: DirectoryFacts<string>,
): readonly ManifestFault[] {
  const loop = findLoop(alias, wanted, facts);
  if (loop) {
    const path = loop.map((each) => formatAddress(each)).join(' -> ');
    return [faultAt(alias.at(['spec', 'members']), `${alias.label} leads back to itself: ${path}`)];
  }
  const faults = alias.members.flatMap((member, i) => {
    const reason = whyNowhere(member, facts);
    return reason ? [faultAt(alias.at(['spec', 'members', i]), reason)] : [];
  });
  const resolution = resolveRecipient(alias, facts);
  if (faults.length > 0 || resolution.kind !== 'accounts') return faults;
  const count = resolution.accountIds.length + resolution.elsewhere.length;
  if (count <= maxAliasAccounts) return [];
  const message = `${alias.label} leads to ${count} accounts, more than ${maxAliasAccounts}`;
  return [faultAt(alias.at(['spec', 'members']), message)];
}

function whyNowhere(member: MailAddress, facts: DirectoryFacts<string>): string | null {
  const { kind } = resolveRecipient(member, facts);
  if (kind !== 'unknown') return null;
  return `${formatAddress(member)} leads to no account, or through more than ${maxAliasDepth} aliases`;
}

/** The aliases on the way from this one back to it; null: there is no such way. */
function findLoop(
  start: WantedAlias,
  wanted: WantedDirectory,
  facts: DirectoryFacts<string>,
): readonly WantedAlias[] | null {
  const aliases = new Map(wanted.aliases.map((alias) => [addressKey(alias), alias]));
  const seen = new Set<WantedAlias>();
  const search = (alias: WantedAlias, way: readonly WantedAlias[]): readonly WantedAlias[] | null => {
    for (const member of alias.members) {
      const domain = facts.domain(member.domain)?.name ?? member.domain;
      const next = aliases.get(addressKey({ domain, localPart: member.localPart }));
      if (next === start) return [...way, next];
      if (!next || seen.has(next)) continue;
      seen.add(next);
      const found = search(next, [...way, next]);
      if (found) return found;
    }
    return null;
  };
  return search(start, [start]);
}

/** The directory as it will be: what resources want, and the rows that follow none. */
function factsOf(wanted: WantedDirectory, observed: ObservedDirectory): DirectoryFacts<string> {
  const uids = uidsOf(wanted);
  const isLoose = (row: ObservedRow): boolean => followsNone(row, uids);
  const domains = new Map<string, DomainFacts>();
  const addresses = new Map<string, AddressFacts<string>>();
  const others = observed.domains.filter(isLoose);
  for (const domain of [...others, ...wanted.domains]) {
    // A suspended domain is not a fault of the aliases that lead there.
    for (const name of [domain.name, ...domain.aliasDomains]) domains.set(name, { ...domain, suspended: false });
  }
  const unmanaged = observed.accounts.filter(isLoose);
  for (const account of [...unmanaged, ...wanted.accounts]) {
    const accountId = addressKey(account);
    for (const each of [account, ...account.aliases]) addresses.set(addressKey(each), { kind: 'account', accountId });
  }
  const aliases = observed.aliases.filter(isLoose);
  for (const alias of [...aliases, ...wanted.aliases]) {
    addresses.set(addressKey(alias), { kind: 'alias', members: alias.members });
  }
  return {
    domain: (name) => domains.get(name) ?? null,
    address: (domain, localPart) => addresses.get(addressKey({ domain, localPart })) ?? null,
  };
}
