/** From resources to the rows that they ask for, after checking them against one another. Pure. */
import { createHash } from 'node:crypto';
import { preparePassword } from '#shared/directory/prepare-password.ts';
import { canonicalLocalPart, formatAddress } from '#shared/text/address.ts';
import type { MailAddress } from '#shared/text/address.ts';
import { checkDomainLimits, checkEachMailboxLimits } from './check-limits.ts';
import { faultAt, resourceFault } from './fault.ts';
import type { FaultReason, ManifestFault, Path, Place, ResourceFault } from './fault.ts';
import { selects } from './label-selector.ts';
import type { Labels } from './label-selector.ts';
import { wantedRoute } from './mail-route-wanted.ts';
import type { WantedRoute } from './mail-route-wanted.ts';
import { byAge, labelOf } from './resource.ts';
import type {
  MailAliasResource,
  MailboxResource,
  MailDomainResource,
  MailRouteResource,
  Resource,
  Resources,
  SecretResource,
} from './resource.ts';
import { addressKey, generatedSecretName } from './wanted.ts';
import type {
  Named,
  SendingLimits,
  Wanted,
  WantedAccount,
  WantedAlias,
  WantedDirectory,
  WantedDomain,
  WantedPassword,
} from './wanted.ts';

/** With it set to "true", a resource takes over a row that follows none. */
const adoptAnnotation = 'postrider.dev/adopt';

/** Where the resources come from. */
export type Origin =
  /** A folder of manifests. `isComplete` false: some had faults and are left out, so what is not here may be in one of them. */
  | { readonly kind: 'folder'; readonly isComplete: boolean }
  | { readonly kind: 'cluster'; readonly namespaceLabels: ReadonlyMap<string, Labels> };

export type BuiltDirectory = {
  readonly wanted: WantedDirectory;
  readonly faults: readonly ResourceFault[];
  readonly notices: readonly ManifestFault[];
};

export function wantedDirectory(resources: Resources, origin: Origin): BuiltDirectory {
  const builder = new Builder(resources, origin);
  const domains = resources.domains.toSorted(byAge).map((resource) => builder.domain(resource));
  const accounts: WantedAccount[] = [];
  const aliases: WantedAlias[] = [];
  for (const resource of [...resources.mailboxes, ...resources.aliases].sort(byAge)) {
    if (resource.kind === 'Mailbox') accounts.push(...builder.account(resource));
    else aliases.push(...builder.alias(resource));
  }
  const routes = resources.routes.flatMap((resource) => builder.route(resource) ?? []);
  const check = origin.kind === 'folder' ? checkDomainLimits : checkEachMailboxLimits;
  return {
    wanted: { domains, accounts, aliases, routes },
    faults: [...builder.faults, ...check(resources.domains, accounts)],
    notices: builder.missingPostmasters(),
  };
}

type Claimant = MailboxResource | MailAliasResource;

class Builder {
  readonly faults: ResourceFault[] = [];
  readonly #resources: Resources;
  readonly #origin: Origin;
  readonly #isComplete: boolean;
  readonly #secrets: ReadonlyMap<string, SecretResource>;
  /** By every name that a domain goes by. */
  readonly #domains = new Map<string, MailDomainResource>();
  readonly #taken = new Map<string, { readonly resource: Claimant; readonly path: Path }>();

  constructor(resources: Resources, origin: Origin) {
    this.#resources = resources;
    this.#origin = origin;
    this.#isComplete = origin.kind === 'cluster' || origin.isComplete;
    this.#secrets = new Map(resources.secrets.map((secret) => [`${secret.namespace}/${secret.name}`, secret]));
  }

  domain(resource: MailDomainResource): WantedDomain {
    const { spec } = resource;
    for (const [i, name] of [spec.domain, ...spec.aliasDomains].entries()) {
      const first = this.#domains.get(name);
      if (!first) this.#domains.set(name, resource);
      else {
        const path = i === 0 ? ['spec', 'domain'] : ['spec', 'aliasDomains', i - 1];
        const message = `the domain ${name} is already that of ${labelOf(first)}${where(first.at(['spec', 'domain']))}`;
        this.#fault(resource, path, 'DomainConflict', message);
      }
    }
    if (spec.allowedNamespaces.from === 'Selector' && this.#origin.kind === 'folder') {
      const message = 'namespaces have labels only in a cluster; write from: All, or from: Same';
      this.#fault(resource, ['spec', 'allowedNamespaces', 'from'], 'NotInThisInstallation', message);
    }
    return {
      ...common(resource, spec.deletionPolicy),
      name: spec.domain,
      aliasDomains: spec.aliasDomains,
      subaddressDelimiter: spec.subaddressDelimiter || null,
      catchAll: spec.catchAll ?? null,
      suspended: spec.suspended,
      limits: limitsOf(spec.limits),
      dkim: {
        algorithms: spec.dkim.algorithms,
        rotationSeconds: spec.dkim.rotation.interval ?? null,
        overlapSeconds: spec.dkim.rotation.overlap,
      },
    };
  }

  /** None, or one. */
  account(resource: MailboxResource): readonly WantedAccount[] {
    const { spec } = resource;
    const own = this.#own(resource, spec.address);
    const aliases = spec.aliases.flatMap((address, i) => this.#claim(resource, address, ['spec', 'aliases', i]) ?? []);
    const password = this.#password(resource);
    if (!own) return [];
    const defaultQuota = this.#domains.get(own.domain)?.spec.limits.defaultQuota;
    const account: WantedAccount = {
      ...common(resource, spec.deletionPolicy),
      ...own,
      displayName: spec.displayName ?? null,
      quotaBytes: spec.quota ?? defaultQuota ?? null,
      suspended: spec.state === 'Suspended',
      graceSeconds: spec.deletionGracePeriod,
      aliases,
      password,
      limits: { ...limitsOf(spec.limits), recipientsPerMessage: spec.limits.recipientsPerMessage ?? null },
      savesSent: spec.savesSent,
    };
    return [account];
  }

  /** None, or one. */
  alias(resource: MailAliasResource): readonly WantedAlias[] {
    const { spec } = resource;
    const own = this.#own(resource, spec.address);
    if (!own) return [];
    const members = uniqueAddresses(spec.members);
    return [{ ...common(resource, spec.deletionPolicy), ...own, members, sendAs: spec.sendAs }];
  }

  route(resource: MailRouteResource): WantedRoute | null {
    const { route, faults } = wantedRoute(resource, this.#secrets, this.#isComplete, specHash(resource.spec));
    this.faults.push(...faults);
    return route;
  }

  /** RFC 5321 section 4.5.1: every domain that receives mail has one. */
  missingPostmasters(): readonly ManifestFault[] {
    return this.#resources.domains
      .filter(
        ({ spec }) => !spec.catchAll && !this.#taken.has(addressKey({ domain: spec.domain, localPart: 'postmaster' })),
      )
      .map(({ spec, at }) =>
        faultAt(
          at(['spec', 'domain']),
          `nobody gets mail for postmaster@${spec.domain}, as RFC 5321 section 4.5.1 asks; make it an alias`,
        ),
      );
  }

  /** An address at an alias domain would read differently from the account's own. */
  #own(resource: Claimant, address: MailAddress): Named | null {
    const path = ['spec', 'address'];
    const named = this.#claim(resource, address, path);
    if (named === null || named.domain === address.domain) return named;
    const message = `${address.domain} is an alias domain; write ${formatAddress(named)}, which has both addresses`;
    this.#fault(resource, path, 'InvalidSpec', message);
    return null;
  }

  /** Takes the address for this resource: its domain must be here, open to the namespace, and the address free. */
  #claim(resource: Claimant, address: MailAddress, path: Path): Named | null {
    const domain = this.#domains.get(address.domain);
    if (!domain) {
      const message = `no MailDomain has the domain ${address.domain} of ${formatAddress(address)}`;
      if (this.#isComplete) this.#fault(resource, path, 'DomainNotFound', message);
      return null;
    }
    if (!this.#isOpenTo(domain, resource.namespace)) {
      const who = domain.spec.allowedNamespaces.from === 'Same' ? 'nobody outside its namespace' : 'not this namespace';
      const message = `${labelOf(domain)} lets ${who} have addresses at ${address.domain} (spec.allowedNamespaces)`;
      this.#fault(resource, path, 'NamespaceNotAllowed', message);
      return null;
    }
    const named = { domain: domain.spec.domain, localPart: canonicalLocalPart(address.localPart) };
    const key = addressKey(named);
    const taken = this.#taken.get(key);
    if (taken) {
      const { resource: first, path: place } = taken;
      const message = `${formatAddress(named)} is already an address of ${labelOf(first)}${where(first.at(place))}`;
      this.#fault(resource, path, 'AddressConflict', message);
      return null;
    }
    this.#taken.set(key, { resource, path });
    return named;
  }

  #isOpenTo({ namespace, spec: { allowedNamespaces } }: MailDomainResource, claimant: string): boolean {
    if (namespace === claimant || allowedNamespaces.from === 'All') return true;
    if (allowedNamespaces.from === 'Same' || this.#origin.kind === 'folder') return false;
    const labels = this.#origin.namespaceLabels.get(claimant);
    return (
      labels !== undefined && allowedNamespaces.selector !== undefined && selects(allowedNamespaces.selector, labels)
    );
  }

  #password(resource: MailboxResource): WantedPassword {
    const { mode, secretRef, length } = resource.spec.password;
    const isFollowed = mode !== 'Initial';
    const name = secretRef?.name ?? generatedSecretName(resource.name);
    const key = secretRef?.key ?? 'password';
    const secret = this.#secrets.get(`${resource.namespace}/${name}`);
    const none: WantedPassword = { value: null, mayGenerate: false, length, secretFile: null, isFollowed };
    if (!secret) {
      if (!secretRef) return { ...none, mayGenerate: true };
      const path = ['spec', 'password', 'secretRef', 'name'];
      const message = `there is no Secret ${resource.namespace}/${name}`;
      if (this.#isComplete) this.#fault(resource, path, 'SecretNotFound', message);
      return none;
    }
    const value = passwordOf(secret, key);
    if (value !== null) return { ...none, value, secretFile: secret.at([]).file };
    const [reason, what] = secret.spec.has(key)
      ? ([
          'PasswordEmpty',
          `has no usable password in its key ${key}: it is empty, too long or holds control characters`,
        ] as const)
      : (['KeyMissing', `has no key ${key}`] as const);
    const message = `Secret ${resource.namespace}/${name}, the password of ${labelOf(resource)}, ${what}`;
    this.faults.push(resourceFault(resource, secret.at(['stringData', key]), reason, message));
    return none;
  }

  #fault(resource: Resource, path: Path, reason: FaultReason, message: string): void {
    this.faults.push(resourceFault(resource, resource.at(path), reason, message));
  }
}

function common(resource: Resource, deletionPolicy: Wanted['deletionPolicy']): Wanted {
  return {
    uid: resource.uid,
    ref: resource,
    resourceName: `${resource.namespace}/${resource.name}`,
    label: labelOf(resource),
    at: resource.at,
    deletionPolicy,
    specHash: specHash(resource.spec),
    isAdopting: resource.annotations[adoptAnnotation] === 'true',
  };
}

function limitsOf(limits: MailboxResource['spec']['limits'] | MailDomainResource['spec']['limits']): SendingLimits {
  return {
    messagesPerHour: limits.messagesPerHour ?? null,
    messagesPerDay: limits.messagesPerDay ?? null,
    newRecipientsPerDay: limits.newRecipientsPerDay ?? null,
  };
}

/** " (file:line)"; nothing for what stands in no file. */
function where({ file, line }: Place): string {
  return file === '' ? '' : ` (${file}:${line})`;
}

function uniqueAddresses(addresses: readonly MailAddress[]): readonly MailAddress[] {
  return [...new Map(addresses.map((address) => [formatAddress(address), address])).values()];
}

/** By the values of Secrets that were read: an operator looks at the same ones again and again. */
const prepared = new WeakMap<SecretResource['spec'], Map<string, string | null>>();

function passwordOf({ spec }: SecretResource, key: string): string | null {
  const known = prepared.get(spec) ?? new Map<string, string | null>();
  prepared.set(spec, known);
  const found = known.get(key);
  if (found !== undefined) return found;
  const text = spec.get(key);
  const value = text === undefined ? null : preparePassword(text.replace(/\r?\n$/, ''));
  known.set(key, value);
  return value;
}

const hashes = new WeakMap<object, string>();

/** Keys come in the schema's order, not the manifest's, so the same spec has the same hash. */
export function specHash(spec: unknown): string {
  const known = typeof spec === 'object' && spec !== null ? hashes.get(spec) : undefined;
  if (known !== undefined) return known;
  const text = JSON.stringify(spec, (_, value: unknown) => (typeof value === 'bigint' ? `${value}` : value));
  const hash = createHash('sha256').update(text).digest('hex');
  if (typeof spec === 'object' && spec !== null) hashes.set(spec, hash);
  return hash;
}
