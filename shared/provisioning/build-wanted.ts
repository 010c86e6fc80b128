/** From resources to the rows that they ask for, after checking them against one another. Pure. */
import { generatedAnnotation } from '#shared/directory/generate-password.ts';
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
  MailCredentialResource,
  MailDomainResource,
  MailPolicyResource,
  MailRouteResource,
  Resource,
  Resources,
  SecretResource,
} from './resource.ts';
import { ownerAnnotation, secretOwner } from './secret.ts';
import { passwordOf } from './secret-password.ts';
import { specHash } from './spec-hash.ts';
import { addressKey, credentialSecretName, generatedSecretName } from './wanted.ts';
import type {
  Named,
  SendingLimits,
  Wanted,
  WantedAccount,
  WantedAlias,
  WantedCredential,
  WantedDirectory,
  WantedDomain,
  WantedPassword,
} from './wanted.ts';

/** With it set to "true", a resource takes over a row that follows none. */
const adoptAnnotation = 'postrider.dev/adopt';

/** Of the password of a MailCredential, which no person types; 185 bits. */
const generatedLength = 32;
const defaultOverlapSeconds = 24 * 3600;

/** Where the resources come from. */
export type Origin =
  /** A folder of manifests. `isComplete` false: some had faults and are left out, so what is not here may be in one of them. */
  | { readonly kind: 'folder'; readonly isComplete: boolean }
  | {
      readonly kind: 'cluster';
      readonly namespaceLabels: ReadonlyMap<string, Labels>;
      /** Domains that a MailDomain names which is left out, and why. */
      readonly notReady: ReadonlyMap<string, string>;
    };

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
  const credentials = resources.credentials.map((resource) => builder.credential(resource));
  const check = origin.kind === 'folder' ? checkDomainLimits : checkEachMailboxLimits;
  return {
    wanted: { domains, accounts, aliases, routes, credentials },
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
  readonly #policies: ReadonlyMap<string, MailPolicyResource>;
  /** By every name that a domain goes by. */
  readonly #domains = new Map<string, MailDomainResource>();
  readonly #taken = new Map<string, { readonly resource: Claimant; readonly path: Path }>();

  constructor(resources: Resources, origin: Origin) {
    this.#resources = resources;
    this.#origin = origin;
    this.#isComplete = origin.kind === 'cluster' || origin.isComplete;
    this.#secrets = byName(resources.secrets);
    this.#policies = byName(resources.policies);
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
    const policy = this.#policy(resource);
    return {
      ...common(resource, spec.deletionPolicy),
      specHash: policy ? `${specHash(spec)} ${specHash(policy.spec)}` : specHash(spec),
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
      maxMessageBytes: policy?.spec.maxMessageSize ?? null,
      requiresInboundTls: policy?.spec.requireInboundTLS ?? false,
    };
  }

  #policy(resource: MailDomainResource): MailPolicyResource | null {
    const { policyRef } = resource.spec;
    if (!policyRef) return null;
    const policy = this.#policies.get(`${resource.namespace}/${policyRef.name}`);
    if (policy) return policy;
    const message = `there is no MailPolicy ${resource.namespace}/${policyRef.name}`;
    if (this.#isComplete) this.#fault(resource, ['spec', 'policyRef', 'name'], 'PolicyNotFound', message);
    return null;
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
    // Whoever writes a folder of manifests has the server to themselves.
    const refusesExternal = this.#origin.kind === 'cluster' && !spec.allowExternalMembers;
    return [{ ...common(resource, spec.deletionPolicy), ...own, members, sendAs: spec.sendAs, refusesExternal }];
  }

  /** It decides over everybody's mail and which networks that may reach, so not every namespace may have one. */
  route(resource: MailRouteResource): WantedRoute | null {
    const { namespace } = resource;
    if (this.#origin.kind === 'cluster' && !this.#resources.servers.some((server) => server.namespace === namespace)) {
      const message = `routes belong into the namespace of a MailServer, and ${namespace} has none`;
      this.#fault(resource, ['metadata', 'namespace'], 'NotAllowedByServer', message);
      return null;
    }
    const { route, faults } = wantedRoute(resource, this.#secrets, this.#isComplete, specHash(resource.spec));
    this.faults.push(...faults);
    return route;
  }

  credential(resource: MailCredentialResource): WantedCredential {
    const { namespace, name, spec } = resource;
    const { deletionPolicy: _, isAdopting: __, ...own } = common(resource, 'Delete');
    const secretName = spec.secretName ?? credentialSecretName(name);
    const senders = spec.allowedSenders
      .map((address, i) => ({ address, answer: this.#maySend(resource, address, i) }))
      .filter(({ answer }) => answer !== 'no');
    return {
      ...own,
      // A namespace has no dot: no two resources have one name.
      username: `${name}.${namespace}`,
      allowedSenders: senders.map(({ address }) => formatAddress(address)),
      absentSenders: senders.filter(({ answer }) => answer === 'absent').map(({ address }) => formatAddress(address)),
      limits: limitsOf(spec.limits),
      intervalSeconds: spec.rotation?.interval ?? null,
      overlapSeconds: spec.rotation?.overlap ?? defaultOverlapSeconds,
      secretName,
      password: this.#generatedPassword(resource, secretName, generatedLength),
    };
  }

  /** What a domain does not let in any more is taken away: the row follows the rest. `absent`: nobody here can say. */
  #maySend(resource: MailCredentialResource, { domain: name }: MailAddress, i: number): 'yes' | 'no' | 'absent' {
    const path = ['spec', 'allowedSenders', i];
    const domain = this.#domains.get(name);
    if (!domain) {
      const message = this.#whyNoDomain(name);
      if (this.#isComplete) this.#fault(resource, path, 'SenderDomainNotFound', message);
      return 'absent';
    }
    if (this.#isOpenTo(domain, resource.namespace)) return 'yes';
    const message = `${labelOf(domain)} lets nobody in ${resource.namespace} send from ${name} (spec.allowedNamespaces)`;
    this.#fault(resource, path, 'SenderNotAllowed', message);
    return 'no';
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
      const isThere = this.#origin.kind === 'cluster' && this.#origin.notReady.has(address.domain);
      const message = `${this.#whyNoDomain(address.domain)} of ${formatAddress(address)}`;
      if (this.#isComplete) this.#fault(resource, path, isThere ? 'DomainNotReady' : 'DomainNotFound', message);
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

  #whyNoDomain(name: string): string {
    const why = this.#origin.kind === 'cluster' ? this.#origin.notReady.get(name) : undefined;
    return why ?? `no MailDomain has the domain ${name}`;
  }

  #password(resource: MailboxResource): WantedPassword {
    const { mode, secretRef, length } = resource.spec.password;
    if (!secretRef) return this.#generatedPassword(resource, generatedSecretName(resource.name), length);
    const isFollowed = mode !== 'Initial';
    const source = { namespace: resource.namespace, name: secretRef.name, mark: undefined };
    const none: WantedPassword = { value: null, mayGenerate: false, length, secretFile: null, isFollowed, source };
    const secret = this.#secrets.get(`${resource.namespace}/${secretRef.name}`);
    if (secret) return this.#read(resource, secret, secretRef.key, none);
    const message = `there is no Secret ${resource.namespace}/${secretRef.name}`;
    if (this.#isComplete) {
      this.#fault(resource, ['spec', 'password', 'secretRef', 'name'], 'SecretNotFound', message);
    }
    return none;
  }

  #generatedPassword(resource: Resource, secretName: string, length: number): WantedPassword {
    const secret = this.#secretMadeFor(resource, secretName);
    const mark = secret?.annotations[generatedAnnotation];
    const none: WantedPassword = {
      value: null,
      mayGenerate: false,
      length,
      secretFile: null,
      isFollowed: true,
      source: { namespace: resource.namespace, name: secretName, mark },
    };
    return secret ? this.#read(resource, secret, 'password', none) : { ...none, mayGenerate: true };
  }

  /** In a cluster anybody who may write Secrets could put one there, also one that was made for another resource. */
  #secretMadeFor(resource: Resource, name: string): SecretResource | undefined {
    const secret = this.#secrets.get(`${resource.namespace}/${name}`);
    const isMade = this.#origin.kind === 'folder' || secret?.annotations[ownerAnnotation] === secretOwner(resource);
    return isMade ? secret : undefined;
  }

  #read(resource: Resource, secret: SecretResource, key: string, none: WantedPassword): WantedPassword {
    const value = passwordOf(secret, key);
    if (value !== null) return { ...none, value, secretFile: secret.at([]).file };
    const [reason, what] = secret.spec.has(key)
      ? ([
          'PasswordEmpty',
          `has no usable password in its key ${key}: it is empty, too long or holds control characters`,
        ] as const)
      : (['KeyMissing', `has no key ${key}`] as const);
    const message = `Secret ${secret.namespace}/${secret.name}, the password of ${labelOf(resource)}, ${what}`;
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

function limitsOf(limits: { readonly [Kind in keyof SendingLimits]?: number | undefined }): SendingLimits {
  return {
    messagesPerHour: bounded(limits.messagesPerHour),
    messagesPerDay: bounded(limits.messagesPerDay),
    newRecipientsPerDay: bounded(limits.newRecipientsPerDay),
  };
}

/** The columns are int4. */
function bounded(count: number | undefined): number | null {
  return count === undefined ? null : Math.min(count, 2 ** 31 - 1);
}

function byName<One extends Resource>(resources: readonly One[]): ReadonlyMap<string, One> {
  return new Map(resources.map((resource) => [`${resource.namespace}/${resource.name}`, resource]));
}

/** " (file:line)"; nothing for what stands in no file. */
function where({ file, line }: Place): string {
  return file === '' ? '' : ` (${file}:${line})`;
}

function uniqueAddresses(addresses: readonly MailAddress[]): readonly MailAddress[] {
  return [...new Map(addresses.map((address) => [formatAddress(address), address])).values()];
}
