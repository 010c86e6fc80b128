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
import { checkMembers } from './check-members.ts';
import { planCredentials } from './credential-plan.ts';
import type { CredentialAction } from './credential-plan.ts';
import type { ResourceFault } from './fault.ts';
import { planRoutes } from './mail-route-plan.ts';
import type { RouteAction } from './mail-route-plan.ts';
import { Occupants } from './occupants.ts';
import { standingOf } from './observed.ts';
import type { ObservedAccount, ObservedAlias, ObservedDirectory, ObservedDomain, Uids } from './observed.ts';
import { sameAccount, sameAlias, sameDomain } from './same-row.ts';
import { addressKey, uidsOf } from './wanted.ts';
import type { Named, WantedAccount, WantedAlias, WantedDirectory, WantedDomain } from './wanted.ts';

/**
 * In the order in which they are to be done: what frees a name comes before what takes it. `uid` is that of the
 * resource whose row changes, null where the row follows none; what lets go of a row does so only while it still has it.
 */
export type Action =
  | { readonly do: 'purge-account'; readonly id: AccountId; readonly uid: Uid; readonly resourceName: string | null }
  | { readonly do: 'delete-alias'; readonly id: bigint; readonly uid: Uid }
  | { readonly do: 'remove-address'; readonly address: Named; readonly uid: Uid }
  | { readonly do: 'remove-domain-name'; readonly name: string; readonly uid: Uid }
  | {
      readonly do: 'retire-account';
      readonly id: AccountId;
      readonly uid: Uid;
      readonly purgeAfterSeconds: number | null;
    }
  | { readonly do: 'retire-alias'; readonly id: bigint; readonly uid: Uid }
  | { readonly do: 'retire-domain'; readonly id: bigint; readonly uid: Uid }
  | { readonly do: 'release'; readonly table: 'account' | 'alias' | 'domain'; readonly id: bigint; readonly uid: Uid }
  | { readonly do: 'delete-domain'; readonly id: bigint; readonly uid: Uid }
  /** `isGivenUp`: it goes out of use under that name; else it gets the name that it had. */
  | {
      readonly do: 'rename-domain';
      readonly id: bigint;
      readonly uid: Uid;
      readonly name: string;
      readonly isGivenUp: boolean;
    }
  | { readonly do: 'put-domain'; readonly id: bigint | null; readonly uid: string; readonly domain: WantedDomain }
  | { readonly do: 'add-domain-name'; readonly name: string; readonly domain: string; readonly uid: string }
  | { readonly do: 'put-account'; readonly id: AccountId | null; readonly uid: string; readonly account: WantedAccount }
  | { readonly do: 'put-alias'; readonly id: bigint | null; readonly uid: string; readonly alias: WantedAlias }
  /** `owner` is an account's own address, or an alias's that has lost it; `id` is null before the row is made. */
  | {
      readonly do: 'add-address';
      readonly id: bigint | null;
      readonly address: Named;
      readonly of: 'account' | 'alias';
      readonly owner: Named;
      readonly uid: string;
    }
  | {
      readonly do: 'set-password';
      readonly id: AccountId | null;
      readonly uid: string;
      readonly account: WantedAccount;
    }
  | RouteAction
  | CredentialAction;

type Uid = string | null;

export type Plan = { readonly actions: readonly Action[]; readonly faults: readonly ResourceFault[] };

/** All or nothing. `isComplete` false: some manifests had faults, so only what is surely wrong is reported. */
export function planDirectory(
  wanted: WantedDirectory,
  observed: ObservedDirectory,
  { isComplete, now }: { readonly isComplete: boolean; readonly now: Date },
): Plan {
  const uids: Uids = { wanted: uidsOf(wanted), kept: new Set() };
  const occupants = new Occupants(wanted, observed, uids);
  const faults = [...occupants.faults, ...(isComplete ? checkMembers(wanted, observed, uids) : [])];
  if (faults.length > 0) return { actions: [], faults };
  return { actions: planActions({ wanted, observed, uids, occupants, keptAddresses: new Set(), now }), faults: [] };
}

export type Sound = {
  /** Without anything that has a fault. */
  readonly wanted: WantedDirectory;
  readonly observed: ObservedDirectory;
  readonly uids: Uids;
  readonly occupants: Occupants;
  /** Of accounts that are not removed yet though their time has come: a resource with a fault names them. */
  readonly keptAddresses: ReadonlySet<string>;
  readonly now: Date;
};

export function planActions({ wanted, observed, uids, occupants, keptAddresses, now }: Sound): readonly Action[] {
  const kept = {
    domains: new Map(wanted.domains.map((domain) => [domain, occupants.domainRow(domain)])),
    accounts: new Map(wanted.accounts.map((account) => [account, occupants.accountRow(account)])),
    aliases: new Map(wanted.aliases.map((alias) => [alias, occupants.aliasRow(alias)])),
  };
  const rows = new Set<Row | null>([...kept.domains.values(), ...kept.accounts.values(), ...kept.aliases.values()]);
  const isGone = (row: Row): boolean =>
    row.managedBy === 'reconciler' && !rows.has(row) && standingOf(row, uids) !== 'kept';
  return inOrder([
    ...planGone(observed, { kept, isGone, dropped: occupants.droppedAliases, keptAddresses }),
    ...[...kept.domains].flatMap(([domain, row]) => planDomain(domain, row)),
    ...[...kept.accounts].flatMap(([account, row]) => planAccount(account, row)),
    ...[...kept.aliases].flatMap(([alias, row]) => planAlias(alias, row)),
    ...planRoutes(wanted.routes, observed.routes, uids.kept),
    ...planCredentials(wanted.credentials, observed.credentials, {
      kept: uids.kept,
      keptDomains: keptDomains(observed, uids),
      now,
    }),
  ]);
}

/** Names of domains in use whose resources are not sound. */
function keptDomains({ domains }: ObservedDirectory, uids: Uids): ReadonlySet<string> {
  const rows = domains.filter((row) => !row.isRetained && standingOf(row, uids) === 'kept');
  return new Set(rows.flatMap(({ name, aliasDomains }) => [name, ...aliasDomains]));
}

type Kept = {
  readonly domains: ReadonlyMap<WantedDomain, ObservedDomain | null>;
  readonly accounts: ReadonlyMap<WantedAccount, ObservedAccount | null>;
  readonly aliases: ReadonlyMap<WantedAlias, ObservedAlias | null>;
};

type Leaving = {
  readonly kept: Kept;
  readonly isGone: (row: Row) => boolean;
  readonly dropped: ReadonlySet<ObservedAlias>;
  readonly keptAddresses: ReadonlySet<string>;
};

/** Rows that no resource wants any more. */
function planGone(observed: ObservedDirectory, { kept, isGone, dropped, keptAddresses }: Leaving): readonly Action[] {
  const accounts = new Set(observed.accounts.filter(isGone));
  const aliases = new Set(observed.aliases.filter(isGone));
  const isPurged = (row: ObservedAccount): boolean =>
    row.isPurgeDue && accounts.has(row) && !keptAddresses.has(addressKey(row));
  const inUse = new Set([
    ...[...kept.accounts.keys(), ...kept.aliases.keys()].map(({ domain }) => domain),
    ...observed.accounts.filter((row) => !isPurged(row)).map(({ domain }) => domain),
    ...observed.aliases
      .filter((row) => !dropped.has(row) && !(aliases.has(row) && row.deletionPolicy === 'Delete'))
      .map(({ domain }) => domain),
  ]);
  return [
    ...[...accounts].flatMap((row) => planGoneAccount(row, isPurged(row))),
    ...[...aliases].flatMap((row) =>
      dropped.has(row) ? [{ do: 'delete-alias' as const, id: row.id, uid: row.resourceUid }] : planGoneAlias(row),
    ),
    ...observed.domains.filter(isGone).flatMap((row) => planGoneDomain(row, inUse.has(row.name))),
  ];
}

function planGoneAccount(row: ObservedAccount, isPurged: boolean): readonly Action[] {
  const { id, resourceUid: uid, resourceName } = row;
  if (isPurged) return [{ do: 'purge-account', id, uid, resourceName }];
  if (row.isRetained) return [];
  if (row.deletionPolicy === 'Orphan') return [{ do: 'release', table: 'account', id, uid }];
  const purgeAfterSeconds = row.deletionPolicy === 'Delete' ? row.graceSeconds : null;
  return [
    // Its further addresses are free for others; the resource names them again when it comes back.
    ...row.aliases.map((address) => ({ do: 'remove-address' as const, address, uid })),
    { do: 'retire-account', id, uid, purgeAfterSeconds },
  ];
}

function planGoneAlias({ id, resourceUid: uid, deletionPolicy, isRetained }: ObservedAlias): readonly Action[] {
  if (deletionPolicy === 'Delete') return [{ do: 'delete-alias', id, uid }];
  if (isRetained) return [];
  if (deletionPolicy === 'Orphan') return [{ do: 'release', table: 'alias', id, uid }];
  return [{ do: 'retire-alias', id, uid }];
}

function planGoneDomain(row: ObservedDomain, isInUse: boolean): readonly Action[] {
  const { id, resourceUid: uid } = row;
  if (row.deletionPolicy === 'Delete' && !isInUse) return [{ do: 'delete-domain', id, uid }];
  if (row.isRetained) return [];
  if (row.deletionPolicy === 'Orphan') return [{ do: 'release', table: 'domain', id, uid }];
  return [
    ...row.aliasDomains.map((name) => ({ do: 'remove-domain-name' as const, name, uid })),
    { do: 'retire-domain', id, uid },
  ];
}

function planDomain(domain: WantedDomain, row: ObservedDomain | null): readonly Action[] {
  const names = row?.aliasDomains ?? [];
  const { name: owner, uid } = domain;
  const lost = row?.hasOwnName === false ? [owner] : [];
  return [
    ...names
      .filter((name) => !domain.aliasDomains.includes(name))
      .map((name) => ({ do: 'remove-domain-name' as const, name, uid: row?.resourceUid ?? null })),
    ...(row && sameDomain(domain, row) ? [] : [{ do: 'put-domain' as const, id: row?.id ?? null, uid, domain }]),
    ...[...lost, ...domain.aliasDomains.filter((name) => !names.includes(name))].map((name) => ({
      do: 'add-domain-name' as const,
      name,
      domain: owner,
      uid,
    })),
  ];
}

function planAccount(account: WantedAccount, row: ObservedAccount | null): readonly Action[] {
  const { uid, password } = account;
  const had = row?.aliases ?? [];
  const lost = row?.hasOwnAddress === false ? [{ domain: account.domain, localPart: account.localPart }] : [];
  const isPut = row && sameAccount(account, row);
  if (isPut && had.length === 0 && account.aliases.length === 0 && lost.length === 0 && isSet(password, row)) return [];
  const hadKeys = new Set(had.map(addressKey));
  const keys = new Set(account.aliases.map(addressKey));
  const from = row?.resourceUid ?? null;
  return [
    ...had
      .filter((each) => !keys.has(addressKey(each)))
      .map((address) => ({ do: 'remove-address' as const, address, uid: from })),
    ...(isPut ? [] : [{ do: 'put-account' as const, id: row?.id ?? null, uid, account }]),
    ...[...lost, ...account.aliases.filter((each) => !hadKeys.has(addressKey(each)))].map((address) => ({
      do: 'add-address' as const,
      id: row?.id ?? null,
      address,
      of: 'account' as const,
      owner: account,
      uid,
    })),
    ...(isSet(password, row) ? [] : [{ do: 'set-password' as const, id: row?.id ?? null, uid, account }]),
  ];
}

function isSet(password: WantedAccount['password'], row: ObservedAccount | null): boolean {
  if (password.value === null && !password.mayGenerate) return true;
  return row?.password === 'same' || (row?.password === 'other' && !password.isFollowed);
}

function planAlias(alias: WantedAlias, row: ObservedAlias | null): readonly Action[] {
  const { uid, domain, localPart } = alias;
  const address = { domain, localPart };
  return [
    ...(row && sameAlias(alias, row) ? [] : [{ do: 'put-alias' as const, id: row?.id ?? null, uid, alias }]),
    ...(row?.hasOwnAddress === false
      ? [{ do: 'add-address' as const, id: row.id, address, of: 'alias' as const, owner: address, uid }]
      : []),
  ];
}

type Row = ObservedDomain | ObservedAccount | ObservedAlias;

/** What frees names, what domains need, the rest: each in the order in which its actions are to be done. */
export const actionPhases: readonly (readonly Action['do'][])[] = [
  [
    'rename-domain',
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
    'delete-credential',
    'remove-expired-passwords',
  ],
  ['put-domain', 'add-domain-name'],
  ['put-account', 'put-alias', 'add-address', 'put-route', 'put-credential', 'set-password', 'set-credential-password'],
];

function inOrder(actions: readonly Action[]): readonly Action[] {
  if (actions.length === 0) return actions;
  return actionPhases.flat().flatMap((kind) => actions.filter((action) => action.do === kind));
}
