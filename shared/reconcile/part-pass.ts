/**
 * A pass over a few Mailboxes and their rows alone, where nothing else has to do with them: what it plans is what a pass
 * over everything would plan for them. Where that is in doubt it says nothing, and everything is to be compared. It lets
 * go of nothing. Pure.
 */
import type { Action } from '#shared/provisioning/plan.ts';
import type { MailboxResource, MailDomainResource, Resources } from '#shared/provisioning/resource.ts';
import { addressKey } from '#shared/provisioning/wanted.ts';
import type { Named } from '#shared/provisioning/wanted.ts';
import { formatAddress } from '#shared/text/address.ts';
import { directoryPass, type PassInput, type PassResult } from './directory-pass.ts';

/** A Mailbox or MailAlias as the API server has it, whether it can be read or not. */
export type Claimant = {
  readonly metadata: { readonly uid: string };
  readonly spec: { readonly address: string; readonly aliases?: readonly string[] };
};

/** Mailboxes that can be looked at without the others. */
export type Part = {
  readonly uids: ReadonlySet<string>;
  /** All that they want, at domains' own names. */
  readonly addresses: readonly Named[];
  /** UIDs of the MailDomains that they are at. */
  readonly domains: ReadonlySet<string>;
};

/**
 * Null: somebody else wants one of the addresses, the domain is not to be had or counts its mailboxes, or one is being
 * deleted. `claimants`: all Mailboxes and MailAliases there are, these among them.
 */
export function partOf(
  mailboxes: readonly MailboxResource[],
  { domains }: Pick<Resources, 'domains'>,
  claimants: Iterable<Claimant>,
): Part | null {
  const byName = new Map<string, MailDomainResource | 'several'>();
  for (const domain of domains) {
    for (const name of namesOf(domain)) byName.set(name, byName.has(name) ? 'several' : domain);
  }
  const uids = new Set(mailboxes.map(({ uid }) => uid));
  const addresses = new Map<string, Named>();
  const texts = new Set<string>();
  const own = new Set<string>();
  for (const { spec, isDeleting } of mailboxes) {
    if (isDeleting) return null;
    for (const { domain: name, localPart } of [spec.address, ...spec.aliases]) {
      const domain = byName.get(name);
      if (domain === undefined || domain === 'several' || !isSimple(domain)) return null;
      own.add(domain.uid);
      const named = { domain: domain.spec.domain, localPart };
      if (addresses.has(addressKey(named))) return null;
      addresses.set(addressKey(named), named);
      for (const each of namesOf(domain)) texts.add(formatAddress({ localPart, domain: each }));
    }
  }
  for (const { metadata, spec } of claimants) {
    if (uids.has(metadata.uid)) continue;
    // An address that is not written in its canonical form can't be read, and claims nothing.
    if (texts.has(spec.address) || spec.aliases?.some((alias) => texts.has(alias))) return null;
  }
  return { uids, addresses: [...addresses.values()], domains: own };
}

function namesOf({ spec }: MailDomainResource): readonly string[] {
  return [spec.domain, ...spec.aliasDomains];
}

/** Whether a Mailbox there is none of the others' concern. */
function isSimple({ isDeleting, spec: { limits } }: MailDomainResource): boolean {
  return !isDeleting && limits.maxMailboxes === undefined && limits.totalQuota === undefined;
}

/**
 * `input` has the Mailboxes of the part and their Secrets, no alias, route or login, everything else there is, and the
 * rows of `readPart`. Null: everything is to be compared.
 */
export function partPass(input: PassInput, { uids, domains }: Part): PassResult | null {
  const { aliases, accounts } = input.stored;
  const isOwn = (uid: string | null): boolean => uid !== null && uids.has(uid);
  if (aliases.length > 0 || !accounts.every((row) => isOwn(row.resourceUid) && !row.isRetained)) return null;
  const { actions, verdicts } = directoryPass({ ...input, isPart: true });
  // Of others, whose rows are not here, nothing is known; but what their domains wait for comes first.
  const isLater = ({ uid }: Action): boolean => !isOwn(uid) && uid !== null && !domains.has(uid);
  const now = actions.filter((action) => !isLater(action));
  if (!now.every((action) => isOwn(action.uid) && isOfMailbox(action))) return null;
  const own = new Map([...verdicts].filter(([uid]) => uids.has(uid)));
  const isHeld = [...own.values()].some(({ faults }) => faults.some(({ isHolding }) => isHolding));
  return isHeld ? null : { actions: now, verdicts: own, blocked: null };
}

/** What a Mailbox that is there asks for, and nothing else does. */
export function isOfMailbox(action: Action): boolean {
  switch (action.do) {
    case 'put-account':
    case 'set-password':
    case 'remove-address':
      return action.uid !== null;
    case 'add-address':
      return action.of === 'account';
    default:
      return false;
  }
}
