/**
 * One look at all resources of a cluster and all rows: what to do, and what to tell of each resource. Pure. A fault
 * touches its own resource alone, whose row stays as it is; the others go on. A second pass over what the first one's
 * actions made plans nothing.
 */
import type { Keyring } from '#shared/directory/keyring.ts';
import { wantedDirectory } from '#shared/provisioning/build-wanted.ts';
import { checkMembers } from '#shared/provisioning/check-members.ts';
import { resourceFault } from '#shared/provisioning/fault.ts';
import type { ResourceFault } from '#shared/provisioning/fault.ts';
import type { Labels } from '#shared/provisioning/label-selector.ts';
import type { ObservedDirectory, Uids } from '#shared/provisioning/observed.ts';
import { Occupants } from '#shared/provisioning/occupants.ts';
import { planActions } from '#shared/provisioning/plan.ts';
import type { Action } from '#shared/provisioning/plan.ts';
import type { MailboxResource, Resources } from '#shared/provisioning/resource.ts';
import { addressKey, uidsOf } from '#shared/provisioning/wanted.ts';
import type { WantedDirectory } from '#shared/provisioning/wanted.ts';
import { makeRoom } from './given-up-domains.ts';
import { findLiving } from './living-resources.ts';
import { findMissing } from './mass-detach.ts';
import type { MassDetach } from './mass-detach.ts';
import { observe } from './observe.ts';
import type { StoredDirectory } from './read-directory.ts';
import { readyDomains } from './ready-domains.ts';
import type { IsProved } from './ready-domains.ts';
import { verdictsOf } from './verdict.ts';
import type { Verdict } from './verdict.ts';

export type PassInput = {
  readonly resources: Resources;
  /** Resources that could not be read (cluster-object.ts): their rows stay as they are. */
  readonly unreadable: readonly ResourceFault[];
  /** Those of them that are being deleted: their rows go as the rows themselves say. */
  readonly unreadableDeleting?: ReadonlySet<string>;
  /** Resources whose rows are to stay as they are. */
  readonly pausedUids?: ReadonlySet<string>;
  /** Resources that are there, and somebody else's: what rows of ours follow them stay as they are, and are not missing. */
  readonly foreignUids?: ReadonlySet<string>;
  readonly stored: StoredDirectory;
  /** Knows passwords again by their tags. */
  readonly keyring: Keyring;
  readonly isProved: IsProved;
  /** See `readyDomains`. */
  readonly isEstablished?: IsProved;
  readonly namespaceLabels: ReadonlyMap<string, Labels>;
  /** Deletions that were seen. Resources with a deletionTimestamp count without it. */
  readonly deletedUids: ReadonlySet<string>;
  /** Whatever is missing was deleted. */
  readonly mayDetachMany: boolean;
  /** Rows whose resource is missing follow that of the same kind, namespace, name and address. */
  readonly mayAdopt: boolean;
  readonly now: Date;
  /** Only some Mailboxes and their rows are here (part-pass.ts). */
  readonly isPart?: boolean;
};

export type PassResult = {
  /** Empty: nothing to do. */
  readonly actions: readonly Action[];
  /** By UID; of every resource but Secrets. */
  readonly verdicts: ReadonlyMap<string, Verdict>;
  /** Rows of missing resources that are left as they are, since there are too many. */
  readonly blocked: MassDetach['blocked'];
};

export function directoryPass(input: PassInput): PassResult {
  const { resources, stored, now } = input;
  const isGoing = ({ resource }: ResourceFault): boolean => input.unreadableDeleting?.has(resource.uid) === true;
  const unreadable = input.unreadable.map((fault) => (isGoing(fault) ? { ...fault, isHolding: false } : fault));
  const { living, waiting } = findLiving(resources);
  const ready = readyDomains(living.domains, { ...input, servers: living.servers });
  const built = wantedDirectory(
    { ...living, domains: ready.domains },
    {
      kind: 'cluster',
      namespaceLabels: input.namespaceLabels,
      notReady: new Map([
        ...ready.notReady,
        ...namesOfUnreadable(
          unreadable.filter(({ isHolding }) => isHolding),
          stored,
        ),
      ]),
    },
  );
  const { pausedUids = [], foreignUids = [] } = input;
  const unread = [...unreadable.map(({ resource }) => resource.uid), ...foreignUids];
  const missing = findMissing({ ...input, unread });
  const blocked = input.mayDetachMany ? null : missing.blocked;
  const faults = new Faults([...unreadable, ...ready.faults, ...built.faults]);
  const kept = new Set([...faults.holding, ...pausedUids, ...foreignUids, ...(blocked ? missing.uids : [])]);
  const room = makeRoom(stored, { lost: ready.lost, ready: ready.domains });
  const observed = observe(room.stored, built.wanted, { keyring: input.keyring, isPart: input.isPart === true });
  const sound = settle(built.wanted, observed, { faults, kept, mailboxes: living.mailboxes });
  const actions = [...room.actions, ...planActions({ ...sound, observed, now })];
  const verdicts = verdictsOf({ input, waiting, faults, actions, observed, unproved: ready.unproved, ...sound });
  return { actions, verdicts, blocked };
}

/** By UID, each once. */
class Faults {
  readonly holding = new Set<string>();
  readonly #byUid = new Map<string, ResourceFault[]>();

  constructor(faults: readonly ResourceFault[]) {
    this.add(faults);
  }

  add(faults: readonly ResourceFault[]): void {
    for (const fault of faults) {
      const { uid } = fault.resource;
      const known = this.#byUid.get(uid) ?? [];
      this.#byUid.set(uid, known);
      if (!known.some(({ reason, message }) => reason === fault.reason && message === fault.message)) known.push(fault);
      if (fault.isHolding) this.holding.add(uid);
    }
  }

  of(uid: string): readonly ResourceFault[] {
    return this.#byUid.get(uid) ?? [];
  }
}

type Sound = {
  readonly wanted: WantedDirectory;
  readonly uids: Uids;
  readonly occupants: Occupants;
  /** Of Mailboxes that have a fault: what was deleted there is not removed for good yet. */
  readonly keptAddresses: ReadonlySet<string>;
};

type Settling = {
  readonly faults: Faults;
  readonly kept: Set<string>;
  readonly mailboxes: readonly MailboxResource[];
};

/**
 * Leaves out what has a fault until the rest has none. What is left out keeps what it has, which may be what another
 * wants: so each round may find more, and ends because there are ever fewer.
 */
function settle(built: WantedDirectory, observed: ObservedDirectory, { faults, kept, mailboxes }: Settling): Sound {
  for (;;) {
    const before = kept.size;
    const wanted = without(built, kept);
    const uids: Uids = { wanted: uidsOf(wanted), kept };
    const held = mailboxes.filter(({ uid }) => kept.has(uid));
    const keptAddresses = new Set(held.map(({ spec }) => addressKey(spec.address)));
    const occupants = new Occupants(wanted, observed, uids, keptAddresses);
    faults.add([
      ...occupants.faults,
      ...notReadyAfterAll(wanted, built, observed),
      ...takenNames(wanted, observed, kept),
    ]);
    for (const uid of faults.holding) kept.add(uid);
    if (kept.size > before) continue;
    const members = checkMembers(wanted, observed, uids);
    faults.add(members.filter(({ isHolding }) => isHolding));
    for (const uid of faults.holding) kept.add(uid);
    if (kept.size > before) continue;
    faults.add(members);
    return { wanted, uids, occupants, keptAddresses };
  }
}

function without(wanted: WantedDirectory, kept: ReadonlySet<string>): WantedDirectory {
  if (kept.size === 0) return wanted;
  const isSound = ({ uid }: { readonly uid: string }): boolean => !kept.has(uid);
  return {
    domains: wanted.domains.filter(isSound),
    accounts: wanted.accounts.filter(isSound),
    aliases: wanted.aliases.filter(isSound),
    routes: wanted.routes.filter(isSound),
    credentials: wanted.credentials.filter(isSound),
  };
}

/** Addresses at a domain that has a fault and no row from before it had. */
function notReadyAfterAll(
  wanted: WantedDirectory,
  built: WantedDirectory,
  observed: ObservedDirectory,
): readonly ResourceFault[] {
  if (wanted.domains.length === built.domains.length) return [];
  const ready = new Set(wanted.domains.map(({ name }) => name));
  const rows = new Map(observed.domains.map((row) => [row.name, row]));
  for (const { name, uid } of built.domains) {
    const row = rows.get(name);
    if (row?.resourceUid === uid && !row.isRetained) ready.add(name);
  }
  const fault = ({ ref, at, domain }: WantedDirectory['aliases'][number] | WantedDirectory['accounts'][number]) =>
    resourceFault(ref, at(['spec', 'address']), 'DomainNotReady', `the MailDomain of ${domain} has a fault`);
  return [
    ...wanted.accounts
      .filter((account) => [account, ...account.aliases].some(({ domain }) => !ready.has(domain)))
      .map(fault),
    ...wanted.aliases.filter(({ domain }) => !ready.has(domain)).map(fault),
  ];
}

/** Rows of routes and logins go by their resource's name, which one that is missing may still have. */
function takenNames(
  { routes, credentials }: WantedDirectory,
  observed: ObservedDirectory,
  kept: ReadonlySet<string>,
): readonly ResourceFault[] {
  const rows = [...observed.routes, ...observed.credentials].filter(({ resourceUid }) => kept.has(resourceUid));
  if (rows.length === 0) return [];
  const taken = (
    wanted: { readonly uid: string; readonly resourceName: string },
    own: readonly { readonly resourceUid: string; readonly resourceName: string }[],
  ): boolean =>
    own.some(
      (row) => row.resourceName === wanted.resourceName && row.resourceUid !== wanted.uid && kept.has(row.resourceUid),
    );
  const message = 'a row of this name follows another resource, which is missing';
  return [
    ...routes.filter((route) => taken(route, observed.routes)),
    ...credentials.filter((credential) => taken(credential, observed.credentials)),
  ].map(({ ref, at }) => resourceFault(ref, at(['metadata', 'name']), 'Conflict', message));
}

/** Of a resource that can't be read its row tells the names. */
function namesOfUnreadable(
  unreadable: readonly ResourceFault[],
  stored: StoredDirectory,
): readonly (readonly [string, string])[] {
  if (unreadable.length === 0) return [];
  const uids = new Set(unreadable.map(({ resource }) => resource.uid));
  return stored.domains
    .filter(({ resourceUid }) => resourceUid !== null && uids.has(resourceUid))
    .flatMap(({ name, aliasDomains, resourceName }) =>
      [name, ...aliasDomains].map((each) => [each, `MailDomain ${resourceName} is not understood`] as const),
    );
}
