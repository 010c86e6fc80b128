import { maxAliasAccounts, maxAliasDepth, resolveRecipient } from '#shared/directory/resolve-recipient.ts';
import type { AddressFacts, DirectoryFacts, DomainFacts } from '#shared/directory/resolve-recipient.ts';
import { formatAddress } from '#shared/text/address.ts';
import type { MailAddress } from '#shared/text/address.ts';
import { resourceFault } from './fault.ts';
import type { Path, ResourceFault } from './fault.ts';
import { standingOf } from './observed.ts';
import type { ObservedDirectory, ObservedRow, Uids } from './observed.ts';
import { addressKey } from './wanted.ts';
import type { WantedAlias, WantedDirectory } from './wanted.ts';

/** Whether all aliases and catch-alls lead somewhere, by the rules that deliveries follow. */
export function checkMembers(
  wanted: WantedDirectory,
  observed: ObservedDirectory,
  uids: Uids,
): readonly ResourceFault[] {
  const facts = factsOf(wanted, observed, uids);
  const aliases = new Map(wanted.aliases.map((alias) => [addressKey(alias), alias]));
  return [
    ...wanted.domains.flatMap(({ catchAll, at, ref }) => {
      const why = catchAll && whyNowhere(catchAll, facts);
      return why ? [resourceFault(ref, at(['spec', 'catchAll']), 'CatchAllNotFound', why)] : [];
    }),
    ...wanted.aliases.flatMap((alias) => checkAlias(alias, aliases, facts)),
  ];
}

type Aliases = ReadonlyMap<string, WantedAlias>;

function checkAlias(alias: WantedAlias, aliases: Aliases, facts: DirectoryFacts<string>): readonly ResourceFault[] {
  const { ref, label, at, members } = alias;
  const path: Path = ['spec', 'members'];
  const loop = findLoop(alias, aliases, facts);
  if (loop) {
    const way = loop.map((each) => formatAddress(each)).join(' -> ');
    return [resourceFault(ref, at(path), 'Loop', `${label} leads back to itself: ${way}`)];
  }
  const external = alias.refusesExternal ? members.findIndex(({ domain }) => facts.domain(domain) === null) : -1;
  if (external !== -1) {
    const message = `${label} has a member at a domain that is not here, and does not have allowExternalMembers`;
    return [resourceFault(ref, at([...path, external]), 'ExternalMemberForbidden', message)];
  }
  const faults = members.flatMap((member, i) => {
    const why = whyNowhere(member, facts);
    return why ? [resourceFault(ref, at([...path, i]), 'MemberNotFound', why)] : [];
  });
  const count = countAccounts(alias, facts);
  if (faults.length > 0 || count <= maxAliasAccounts) return faults;
  const message = `${label} leads to ${count} accounts, more than ${maxAliasAccounts}`;
  return [resourceFault(ref, at(path), 'TooManyAccounts', message)];
}

function countAccounts(alias: MailAddress, facts: DirectoryFacts<string>): number {
  const resolution = resolveRecipient(alias, facts);
  return resolution.kind === 'accounts' ? resolution.accountIds.length + resolution.elsewhere.length : 0;
}

function whyNowhere(member: MailAddress, facts: DirectoryFacts<string>): string | null {
  const { kind } = resolveRecipient(member, facts);
  if (kind !== 'unknown') return null;
  return `${formatAddress(member)} leads to no account, or through more than ${maxAliasDepth} aliases`;
}

/** The aliases on the way from this one back to it; null: there is no such way. */
function findLoop(start: WantedAlias, aliases: Aliases, facts: DirectoryFacts<string>): readonly WantedAlias[] | null {
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

/** The directory as it will be: what resources want, and the rows that this plan does not touch. */
function factsOf(wanted: WantedDirectory, observed: ObservedDirectory, uids: Uids): DirectoryFacts<string> {
  const stays = (row: ObservedRow): boolean => {
    const standing = standingOf(row, uids);
    return standing === 'loose' || (standing === 'kept' && !row.isRetained);
  };
  const domains = new Map<string, DomainFacts>();
  const addresses = new Map<string, AddressFacts<string>>();
  for (const domain of [...observed.domains.filter(stays), ...wanted.domains]) {
    // A suspended domain is not a fault of the aliases that lead there.
    for (const name of [domain.name, ...domain.aliasDomains]) domains.set(name, { ...domain, suspended: false });
  }
  for (const account of [...observed.accounts.filter(stays), ...wanted.accounts]) {
    const accountId = addressKey(account);
    for (const each of [account, ...account.aliases]) addresses.set(addressKey(each), { kind: 'account', accountId });
  }
  for (const alias of [...observed.aliases.filter(stays), ...wanted.aliases]) {
    addresses.set(addressKey(alias), { kind: 'alias', members: alias.members });
  }
  return {
    domain: (name) => domains.get(name) ?? null,
    address: (domain, localPart) => addresses.get(addressKey({ domain, localPart })) ?? null,
  };
}
