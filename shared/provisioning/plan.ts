/**
 * What to do so that the directory follows its resources. Pure: no database, no clock. A second run over what the
 * first one made plans nothing.
 *
 * A row whose resource is gone goes by its deletionPolicy:
 *   Retain  kept with its mail; nobody logs in, nothing is received (550 as for an unknown address; an alias or
 *           domain likewise). The same resource, or another of its kind with the same address, takes it up again.
 *   Orphan  left as it is and in use, following no resource; one annotated postrider.dev/adopt: "true" takes it up.
 *   Delete  an account is kept as with Retain until its grace period is over, then removed with its mail; an alias
 *           is removed at once; a domain once it has no accounts and aliases.
 */
import type { AccountId } from '#shared/base/ids.ts';
import type { ManifestFault } from './manifest.ts';
import { checkMembers } from './check-members.ts';
import { planRoutes } from './mail-route-plan.ts';
import type { RouteAction } from './mail-route-plan.ts';
import { Occupants } from './occupants.ts';
import type { ObservedAccount, ObservedAlias, ObservedDirectory, ObservedDomain } from './observed.ts';
import { addressKey } from './wanted.ts';
import type { Named, WantedAccount, WantedAlias, WantedDirectory, WantedDomain } from './wanted.ts';

/** In the order in which they are to be done: what frees a name comes before what takes it. */
export type Action =
  | { readonly do: 'purge-account'; readonly id: AccountId; readonly resourceName: string | null }
  | { readonly do: 'delete-alias'; readonly id: bigint }
  | { readonly do: 'remove-address'; readonly address: Named }
  | { readonly do: 'remove-domain-name'; readonly name: string }
  | { readonly do: 'retire-account'; readonly id: AccountId; readonly purgeAfterSeconds: number | null }
  | { readonly do: 'retire-alias'; readonly id: bigint }
  | { readonly do: 'retire-domain'; readonly id: bigint }
  | { readonly do: 'release'; readonly table: 'account' | 'alias' | 'domain'; readonly id: bigint }
  | { readonly do: 'delete-domain'; readonly id: bigint }
  | { readonly do: 'put-domain'; readonly id: bigint | null; readonly domain: WantedDomain }
  | { readonly do: 'add-domain-name'; readonly name: string; readonly domain: string }
  | { readonly do: 'put-account'; readonly id: AccountId | null; readonly account: WantedAccount }
  | { readonly do: 'put-alias'; readonly id: bigint | null; readonly alias: WantedAlias }
  | { readonly do: 'add-address'; readonly address: Named; readonly owner: Named }
  | { readonly do: 'set-password'; readonly account: WantedAccount }
  | RouteAction;

export type Plan = { readonly actions: readonly Action[]; readonly faults: readonly ManifestFault[] };

/** `isComplete` false: some manifests had faults, so nothing will be done; only what is surely wrong is reported. */
export function planDirectory(wanted: WantedDirectory, observed: ObservedDirectory, isComplete: boolean): Plan {
  const occupants = new Occupants(wanted, observed);
  const faults = [...occupants.faults, ...(isComplete ? checkMembers(wanted, observed) : [])];
  if (faults.length > 0) return { actions: [], faults };
  const kept = {
    domains: new Map(wanted.domains.map((domain) => [domain, occupants.domainRow(domain)])),
    accounts: new Map(wanted.accounts.map((account) => [account, occupants.accountRow(account)])),
    aliases: new Map(wanted.aliases.map((alias) => [alias, occupants.aliasRow(alias)])),
  };
  const actions = [
    ...planGone(observed, kept, occupants.droppedAliases),
    ...[...kept.domains].flatMap(([domain, row]) => planDomain(domain, row)),
    ...[...kept.accounts].flatMap(([account, row]) => planAccount(account, row)),
    ...[...kept.aliases].flatMap(([alias, row]) => planAlias(alias, row)),
    ...planRoutes(wanted.routes, observed.routes),
  ];
  return { actions: inOrder(actions), faults: [] };
}

type Kept = {
  readonly domains: ReadonlyMap<WantedDomain, ObservedDomain | null>;
  readonly accounts: ReadonlyMap<WantedAccount, ObservedAccount | null>;
  readonly aliases: ReadonlyMap<WantedAlias, ObservedAlias | null>;
};

/** Rows that no resource wants any more. */
function planGone(observed: ObservedDirectory, kept: Kept, dropped: ReadonlySet<ObservedAlias>): readonly Action[] {
  const rows = new Set<Row | null>([...kept.domains.values(), ...kept.accounts.values(), ...kept.aliases.values()]);
  const isGone = (row: Row): boolean => row.managedBy === 'reconciler' && !rows.has(row);
  const accounts = new Set(observed.accounts.filter(isGone));
  const aliases = new Set(observed.aliases.filter(isGone));
  const inUse = new Set([
    ...[...kept.accounts.keys(), ...kept.aliases.keys()].map(({ domain }) => domain),
    ...observed.accounts.filter((row) => !row.isPurgeDue || !accounts.has(row)).map(({ domain }) => domain),
    ...observed.aliases
      .filter((row) => !dropped.has(row) && !(aliases.has(row) && row.deletionPolicy === 'Delete'))
      .map(({ domain }) => domain),
  ]);
  return [
    ...[...accounts].flatMap(planGoneAccount),
    ...[...aliases].flatMap((row) =>
      dropped.has(row) ? [{ do: 'delete-alias' as const, id: row.id }] : planGoneAlias(row),
    ),
    ...observed.domains.filter(isGone).flatMap((row) => planGoneDomain(row, inUse.has(row.name))),
  ];
}

function planGoneAccount(row: ObservedAccount): readonly Action[] {
  if (row.isPurgeDue) return [{ do: 'purge-account', id: row.id, resourceName: row.resourceName }];
  if (row.isRetained) return [];
  if (row.deletionPolicy === 'Orphan') return [{ do: 'release', table: 'account', id: row.id }];
  const purgeAfterSeconds = row.deletionPolicy === 'Delete' ? row.graceSeconds : null;
  return [
    // Its further addresses are free for others; the resource names them again when it comes back.
    ...row.aliases.map((address) => ({ do: 'remove-address' as const, address })),
    { do: 'retire-account', id: row.id, purgeAfterSeconds },
  ];
}

function planGoneAlias(row: ObservedAlias): readonly Action[] {
  if (row.deletionPolicy === 'Delete') return [{ do: 'delete-alias', id: row.id }];
  if (row.isRetained) return [];
  if (row.deletionPolicy === 'Orphan') return [{ do: 'release', table: 'alias', id: row.id }];
  return [{ do: 'retire-alias', id: row.id }];
}

function planGoneDomain(row: ObservedDomain, isInUse: boolean): readonly Action[] {
  if (row.deletionPolicy === 'Delete' && !isInUse) return [{ do: 'delete-domain', id: row.id }];
  if (row.isRetained) return [];
  if (row.deletionPolicy === 'Orphan') return [{ do: 'release', table: 'domain', id: row.id }];
  return [
    ...row.aliasDomains.map((name) => ({ do: 'remove-domain-name' as const, name })),
    { do: 'retire-domain', id: row.id },
  ];
}

function planDomain(domain: WantedDomain, row: ObservedDomain | null): readonly Action[] {
  const names = row?.aliasDomains ?? [];
  const { name: owner } = domain;
  return [
    ...names
      .filter((name) => !domain.aliasDomains.includes(name))
      .map((name) => ({ do: 'remove-domain-name' as const, name })),
    ...(row && follows(domain, row) ? [] : [{ do: 'put-domain' as const, id: row?.id ?? null, domain }]),
    ...domain.aliasDomains
      .filter((name) => !names.includes(name))
      .map((name) => ({ do: 'add-domain-name' as const, name, domain: owner })),
  ];
}

function planAccount(account: WantedAccount, row: ObservedAccount | null): readonly Action[] {
  const had = row?.aliases ?? [];
  const hadKeys = new Set(had.map(addressKey));
  const keys = new Set(account.aliases.map(addressKey));
  const isSet = row?.password === 'same' || (row?.password === 'other' && !account.password.isFollowed);
  return [
    ...had.filter((each) => !keys.has(addressKey(each))).map((address) => ({ do: 'remove-address' as const, address })),
    ...(row && follows(account, row) && sameAccount(account, row)
      ? []
      : [{ do: 'put-account' as const, id: row?.id ?? null, account }]),
    ...account.aliases
      .filter((each) => !hadKeys.has(addressKey(each)))
      .map((address) => ({ do: 'add-address' as const, address, owner: account })),
    ...(isSet ? [] : [{ do: 'set-password' as const, account }]),
  ];
}

function planAlias(alias: WantedAlias, row: ObservedAlias | null): readonly Action[] {
  const isSame = row && follows(alias, row) && sameMembers(alias, row);
  return isSame ? [] : [{ do: 'put-alias', id: row?.id ?? null, alias }];
}

type Row = ObservedDomain | ObservedAccount | ObservedAlias;

/** It follows this resource as it is now. The hash covers the whole spec, so only drift needs a look at columns. */
function follows(wanted: WantedDomain | WantedAccount | WantedAlias, row: Row): boolean {
  return (
    row.managedBy === 'reconciler' &&
    row.resourceUid === wanted.uid &&
    row.resourceName === wanted.resourceName &&
    !row.isRetained &&
    row.specHash === wanted.specHash &&
    (!('name' in wanted) || !('name' in row) || sameDomain(wanted, row))
  );
}

function sameDomain(wanted: WantedDomain, row: ObservedDomain): boolean {
  return (
    wanted.subaddressDelimiter === row.subaddressDelimiter &&
    wanted.suspended === row.suspended &&
    (wanted.catchAll === row.catchAll ||
      (wanted.catchAll !== null && row.catchAll !== null && addressKey(wanted.catchAll) === addressKey(row.catchAll)))
  );
}

/** The quota may come from the domain, which the spec's hash doesn't cover. */
function sameAccount(wanted: WantedAccount, row: ObservedAccount): boolean {
  return (
    wanted.quotaBytes === row.quotaBytes && wanted.suspended === row.suspended && wanted.displayName === row.displayName
  );
}

function sameMembers(wanted: WantedAlias, row: ObservedAlias): boolean {
  const had = new Set(row.members.map(addressKey));
  return wanted.members.length === had.size && wanted.members.every((member) => had.has(addressKey(member)));
}

const order: readonly Action['do'][] = [
  'purge-account',
  'delete-alias',
  'remove-address',
  'remove-domain-name',
  'retire-account',
  'retire-alias',
  'release',
  'delete-domain',
  'retire-domain',
  'delete-route',
  'put-domain',
  'add-domain-name',
  'put-account',
  'put-alias',
  'add-address',
  'put-route',
  'set-password',
];

function inOrder(actions: readonly Action[]): readonly Action[] {
  return order.flatMap((kind) => actions.filter((action) => action.do === kind));
}
