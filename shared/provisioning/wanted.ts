/** The rows that resources ask for, after checking them against one another. Pure. */
import { createHash } from 'node:crypto';
import type { DeletionPolicy } from '#shared/db/directory-tables.ts';
import type { DkimAlgorithm } from '#shared/db/sending-tables.ts';
import { preparePassword } from '#shared/directory/prepare-password.ts';
import { canonicalLocalPart, formatAddress } from '#shared/text/address.ts';
import type { MailAddress } from '#shared/text/address.ts';
import { wantedRoute } from './mail-route-wanted.ts';
import type { WantedRoute } from './mail-route-wanted.ts';
import { faultAt } from './manifest.ts';
import type {
  MailAliasResource,
  MailboxResource,
  MailDomainResource,
  MailRouteResource,
  ManifestFault,
  Place,
  Resource,
  Resources,
  SecretResource,
} from './manifest.ts';

/** With it set to "true", a resource takes over a row that follows none. */
const adoptAnnotation = 'postrider.dev/adopt';

type Wanted = {
  readonly uid: string;
  /** namespace/name, for the row. */
  readonly resourceName: string;
  /** Kind and name, for messages. */
  readonly label: string;
  readonly at: Resource['at'];
  readonly deletionPolicy: DeletionPolicy;
  readonly specHash: string;
  readonly isAdopting: boolean;
};

/** See 0008-sending.sql; null: the server's own. */
export type SendingLimits = {
  readonly messagesPerHour: number | null;
  readonly messagesPerDay: number | null;
  readonly newRecipientsPerDay: number | null;
};

export type WantedDomain = Wanted & {
  readonly name: string;
  readonly aliasDomains: readonly string[];
  readonly subaddressDelimiter: string | null;
  readonly catchAll: MailAddress | null;
  readonly suspended: boolean;
  readonly limits: SendingLimits;
  readonly dkim: {
    readonly algorithms: readonly DkimAlgorithm[];
    /** Null: keys are not replaced. */
    readonly rotationSeconds: number | null;
    readonly overlapSeconds: number;
  };
};

/** The name of an account or alias; `domain` is the domain's own name. */
export type Named = { readonly domain: string; readonly localPart: string };

export type WantedPassword = {
  /** Prepared. null: there is no Secret yet, one is to be generated with `length` characters. */
  readonly value: string | null;
  readonly length: number;
  /** The manifest of the Secret; null: there is none yet. */
  readonly secretFile: string | null;
  /** It follows the Secret; else it is set once, and the user's from then on. */
  readonly isFollowed: boolean;
};

export type WantedAccount = Wanted &
  Named & {
    readonly displayName: string | null;
    readonly quotaBytes: bigint | null;
    readonly suspended: boolean;
    readonly graceSeconds: number;
    /** Further addresses. */
    readonly aliases: readonly Named[];
    readonly password: WantedPassword;
    readonly limits: SendingLimits & { readonly recipientsPerMessage: number | null };
    readonly savesSent: boolean;
  };

export type WantedAlias = Wanted & Named & { readonly members: readonly MailAddress[]; readonly sendAs: boolean };

export type WantedDirectory = {
  readonly domains: readonly WantedDomain[];
  readonly accounts: readonly WantedAccount[];
  readonly aliases: readonly WantedAlias[];
  readonly routes: readonly WantedRoute[];
};

export function uidsOf({ domains, accounts, aliases }: WantedDirectory): ReadonlySet<string> {
  return new Set([...domains, ...accounts, ...aliases].map(({ uid }) => uid));
}

/** How an address is named in the plan: unique, since a domain has no "@". */
export function addressKey({ localPart, domain }: Named): string {
  return `${localPart}@${domain}`;
}

/** The Secret that holds a Mailbox's generated password. */
export function generatedSecretName(mailboxName: string): string {
  return `${mailboxName}-mailbox`;
}

/**
 * `isComplete` false: some manifests had faults and are left out, so what is not here may be in one of them.
 */
export function wantedDirectory(
  resources: Resources,
  isComplete: boolean,
): {
  readonly wanted: WantedDirectory;
  readonly faults: readonly ManifestFault[];
  readonly notices: readonly ManifestFault[];
} {
  const builder = new Builder(resources, isComplete);
  const domains = resources.domains.map((resource) => builder.domain(resource));
  const accounts = resources.mailboxes.flatMap((resource) => builder.account(resource) ?? []);
  const aliases = resources.aliases.flatMap((resource) => builder.alias(resource) ?? []);
  const routes = resources.routes.flatMap((resource) => builder.route(resource) ?? []);
  builder.checkLimits(accounts);
  return {
    wanted: { domains, accounts, aliases, routes },
    faults: builder.faults,
    notices: builder.missingPostmasters(),
  };
}

class Builder {
  readonly faults: ManifestFault[] = [];
  readonly #resources: Resources;
  readonly #isComplete: boolean;
  readonly #secrets: ReadonlyMap<string, SecretResource>;
  /** By every name that a domain goes by. */
  readonly #domains = new Map<string, MailDomainResource>();
  readonly #taken = new Map<string, { readonly label: string; readonly place: Place }>();

  constructor(resources: Resources, isComplete: boolean) {
    this.#resources = resources;
    this.#isComplete = isComplete;
    this.#secrets = new Map(resources.secrets.map((secret) => [`${secret.namespace}/${secret.name}`, secret]));
  }

  domain(resource: MailDomainResource): WantedDomain {
    const { spec } = resource;
    const names = [spec.domain, ...spec.aliasDomains];
    for (const [i, name] of names.entries()) {
      const place = resource.at(i === 0 ? ['spec', 'domain'] : ['spec', 'aliasDomains', i - 1]);
      const first = this.#domains.get(name);
      if (first)
        this.#fault(
          place,
          `the domain ${name} is already that of ${labelOf(first)} (${where(first.at(['spec', 'domain']))})`,
        );
      else this.#domains.set(name, resource);
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

  account(resource: MailboxResource): WantedAccount | null {
    const { spec } = resource;
    const own = this.#own(resource, spec.address);
    const aliases = spec.aliases.flatMap((address, i) => this.#claim(resource, address, ['spec', 'aliases', i]) ?? []);
    const password = this.#password(resource);
    if (!own || !password) return null;
    const defaultQuota = this.#domains.get(own.domain)?.spec.limits.defaultQuota;
    return {
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
  }

  alias(resource: MailAliasResource): WantedAlias | null {
    const { spec } = resource;
    const own = this.#own(resource, spec.address);
    const members = uniqueAddresses(spec.members);
    return own && { ...common(resource, spec.deletionPolicy), ...own, members, sendAs: spec.sendAs };
  }

  route(resource: MailRouteResource): WantedRoute | null {
    const { route, faults } = wantedRoute(resource, this.#secrets, this.#isComplete, hashOf(resource.spec));
    this.faults.push(...faults);
    return route;
  }

  /** Limits that concern a domain's accounts together. */
  checkLimits(accounts: readonly WantedAccount[]): void {
    for (const resource of this.#resources.domains) {
      const { domain, limits } = resource.spec;
      const own = accounts.filter((account) => account.domain === domain);
      const { maxMailboxes, totalQuota } = limits;
      if (maxMailboxes !== undefined && own.length > maxMailboxes) {
        const place = resource.at(['spec', 'limits', 'maxMailboxes']);
        this.#fault(place, `${domain} has ${own.length} mailboxes, more than its limit of ${maxMailboxes}`);
      }
      if (totalQuota === undefined) continue;
      const place = resource.at(['spec', 'limits', 'totalQuota']);
      const sum = own.reduce((total, { quotaBytes }) => total + (quotaBytes ?? 0n), 0n);
      for (const { quotaBytes, at, label } of own) {
        if (quotaBytes === null)
          this.#fault(at(['spec', 'address']), `${label} needs a quota: ${domain} has a totalQuota`);
      }
      if (sum > totalQuota)
        this.#fault(place, `the quotas of ${domain} add up to ${sum} bytes, more than its totalQuota of ${totalQuota}`);
    }
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
  #own(resource: MailboxResource | MailAliasResource, address: MailAddress): Named | null {
    const named = this.#claim(resource, address, ['spec', 'address']);
    if (named === null || named.domain === address.domain) return named;
    const message = `${address.domain} is an alias domain; write ${formatAddress(named)}, which has both addresses`;
    this.#fault(resource.at(['spec', 'address']), message);
    return null;
  }

  /** Takes the address for this resource: its domain must be here, open to the namespace, and the address free. */
  #claim(
    resource: MailboxResource | MailAliasResource,
    address: MailAddress,
    path: readonly (string | number)[],
  ): Named | null {
    const place = resource.at(path);
    const domain = this.#domains.get(address.domain);
    if (!domain) {
      if (this.#isComplete)
        this.#fault(place, `no MailDomain has the domain ${address.domain} of ${formatAddress(address)}`);
      return null;
    }
    if (domain.spec.allowedNamespaces.from === 'Same' && domain.namespace !== resource.namespace) {
      const message = `${labelOf(domain)} lets nobody outside its namespace have addresses at ${address.domain} (spec.allowedNamespaces)`;
      this.#fault(place, message);
      return null;
    }
    const named = { domain: domain.spec.domain, localPart: canonicalLocalPart(address.localPart) };
    const taken = this.#taken.get(addressKey(named));
    if (taken) {
      this.#fault(place, `${formatAddress(named)} is already an address of ${taken.label} (${where(taken.place)})`);
      return null;
    }
    this.#taken.set(addressKey(named), { label: labelOf(resource), place });
    return named;
  }

  #password(resource: MailboxResource): WantedPassword | null {
    const { mode, secretRef, length } = resource.spec.password;
    const isFollowed = mode !== 'Initial';
    const name = secretRef?.name ?? generatedSecretName(resource.name);
    const key = secretRef?.key ?? 'password';
    const secret = this.#secrets.get(`${resource.namespace}/${name}`);
    if (!secret) {
      if (!secretRef) return { value: null, length, secretFile: null, isFollowed };
      const place = resource.at(['spec', 'password', 'secretRef', 'name']);
      if (this.#isComplete) this.#fault(place, `there is no Secret ${resource.namespace}/${name}`);
      return null;
    }
    const text = secret.spec.get(key);
    const value = text === undefined ? null : preparePassword(text.replace(/\r?\n$/, ''));
    if (value !== null) return { value, length, secretFile: secret.at([]).file, isFollowed };
    const what =
      text === undefined
        ? `has no key ${key}`
        : `has no usable password in its key ${key}: it is empty, too long or holds control characters`;
    this.#fault(
      secret.at(['stringData', key]),
      `Secret ${resource.namespace}/${name}, the password of ${labelOf(resource)}, ${what}`,
    );
    return null;
  }

  #fault(place: Place, message: string): void {
    this.faults.push(faultAt(place, message));
  }
}

function common(resource: Resource, deletionPolicy: DeletionPolicy): Wanted {
  return {
    uid: resource.uid,
    resourceName: `${resource.namespace}/${resource.name}`,
    label: labelOf(resource),
    at: resource.at,
    deletionPolicy,
    specHash: hashOf(resource.spec),
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

function labelOf({ kind, namespace, name }: Resource): string {
  return `${kind} ${namespace}/${name}`;
}

function where({ file, line }: Place): string {
  return `${file}:${line}`;
}

function uniqueAddresses(addresses: readonly MailAddress[]): readonly MailAddress[] {
  return [...new Map(addresses.map((address) => [formatAddress(address), address])).values()];
}

/** Keys come in the schema's order, not the manifest's, so the same spec has the same hash. */
function hashOf(spec: unknown): string {
  const text = JSON.stringify(spec, (_, value: unknown) => (typeof value === 'bigint' ? `${value}` : value));
  return createHash('sha256').update(text).digest('hex');
}
