/** What a pass has to tell of each resource. */
import { rotationDueAt } from '#shared/provisioning/credential-plan.ts';
import type { ResourceFault, ResourceRef } from '#shared/provisioning/fault.ts';
import type { ObservedDirectory, ObservedRow } from '#shared/provisioning/observed.ts';
import type { Action } from '#shared/provisioning/plan.ts';
import type { Resource, Resources } from '#shared/provisioning/resource.ts';
import { credentialSecretName, generatedSecretName } from '#shared/provisioning/wanted.ts';
import type { WantedDirectory } from '#shared/provisioning/wanted.ts';

/** What becomes of a resource that is being deleted. */
export type Deletion =
  /** It must stay: keep the finalizer. */
  | { readonly state: 'blocked'; readonly reason: 'MailboxesRemain'; readonly message: string }
  /** The actions of this pass do it. */
  | { readonly state: 'planned'; readonly reason: 'Removing'; readonly message: string }
  /** The database carries on by itself (grace period, removal): the finalizer has done its work. */
  | { readonly state: 'recorded'; readonly reason: 'RetentionUntil' | 'Removed'; readonly message: string };

export type Facts =
  | { readonly kind: 'MailDomain'; readonly mailboxes: number }
  | {
      readonly kind: 'Mailbox';
      /** Null: it is at none that is here. */
      readonly domain: ResourceRef | null;
      /** Null: no limit. */
      readonly quotaBytes: bigint | null;
      readonly secretName: string;
    }
  | { readonly kind: 'MailAlias'; readonly resolvedMembers: number }
  | {
      readonly kind: 'MailCredential';
      readonly username: string;
      readonly secretName: string;
      readonly passwordSince: Date | null;
      /** Until when the password before the present one works. */
      readonly previousUntil: Date | null;
      readonly rotationDueAt: Date | null;
    }
  | { readonly kind: 'MailRoute' | 'MailPolicy' | 'MailServer' };

export type Verdict = {
  readonly ref: ResourceRef;
  /** None: it is as it should be, once the actions are done. */
  readonly faults: readonly ResourceFault[];
  /** Null: it is not being deleted. */
  readonly deletion: Deletion | null;
  /** Of a MailDomain: names that nobody has proved. */
  readonly unproved: readonly string[];
  /** That it has already. */
  readonly row: { readonly id: string } | null;
  readonly facts: Facts;
};

export type VerdictSources = {
  readonly input: {
    readonly resources: Resources;
    readonly unreadable: readonly ResourceFault[];
    readonly unreadableDeleting?: ReadonlySet<string>;
  };
  readonly waiting: ReadonlyMap<string, number>;
  readonly faults: { of(uid: string): readonly ResourceFault[] };
  readonly actions: readonly Action[];
  readonly observed: ObservedDirectory;
  readonly unproved: ReadonlyMap<string, readonly string[]>;
  readonly wanted: WantedDirectory;
};

export function verdictsOf(sources: VerdictSources): ReadonlyMap<string, Verdict> {
  const writer = new VerdictWriter(sources);
  const { resources, unreadable, unreadableDeleting } = sources.input;
  const verdicts = new Map<string, Verdict>();
  for (const { resource } of unreadable) {
    const isDeleting = unreadableDeleting?.has(resource.uid) === true;
    verdicts.set(resource.uid, writer.unreadable(resource, isDeleting));
  }
  const { domains, mailboxes, aliases, routes, credentials, policies, servers } = resources;
  for (const list of [domains, mailboxes, aliases, routes, credentials, policies, servers]) {
    for (const resource of list) verdicts.set(resource.uid, writer.verdict(resource, writer.factsOf(resource)));
  }
  return verdicts;
}

type AnyResource = Exclude<Resources[keyof Resources][number], { readonly kind: 'Secret' }>;

const nothing: readonly never[] = [];

class VerdictWriter {
  readonly #sources: VerdictSources;
  readonly #rows = new Map<string, { readonly id: bigint; readonly isRetained: boolean; readonly purges: boolean }>();
  readonly #mailboxes = new Map<string, number>();
  readonly #domains = new Map<string, ResourceRef>();
  readonly #accounts: ReadonlyMap<string, WantedDirectory['accounts'][number]>;
  readonly #credentials: ReadonlyMap<string, ObservedDirectory['credentials'][number]>;

  constructor(sources: VerdictSources) {
    this.#sources = sources;
    const { observed, wanted, input } = sources;
    const add = (row: ObservedRow & { readonly id: bigint }): void => {
      if (row.resourceUid === null) return;
      const { id, isRetained, deletionPolicy } = row;
      this.#rows.set(row.resourceUid, { id, isRetained, purges: deletionPolicy === 'Delete' });
    };
    for (const row of observed.domains) add(row);
    for (const row of observed.accounts) add(row);
    for (const row of observed.aliases) add(row);
    for (const { resourceUid, id } of [...observed.routes, ...observed.credentials]) {
      this.#rows.set(resourceUid, { id, isRetained: false, purges: true });
    }
    this.#accounts = new Map(wanted.accounts.map((account) => [account.uid, account]));
    for (const { domain } of wanted.accounts) this.#mailboxes.set(domain, (this.#mailboxes.get(domain) ?? 0) + 1);
    for (const domain of input.resources.domains) {
      for (const name of [domain.spec.domain, ...domain.spec.aliasDomains]) {
        if (sources.faults.of(domain.uid).length === 0 || !this.#domains.has(name)) this.#domains.set(name, domain);
      }
    }
    this.#credentials = new Map(observed.credentials.map((row) => [row.resourceUid, row]));
  }

  unreadable(ref: ResourceRef, isDeleting: boolean): Verdict {
    return this.#about(ref, { kind: 'MailServer' }, isDeleting ? this.#deletion(ref) : null);
  }

  verdict(resource: Resource, facts: Facts): Verdict {
    return this.#about(resource, facts, resource.isDeleting ? this.#deletion(resource) : null);
  }

  factsOf(resource: AnyResource): Facts {
    const { kind } = resource;
    switch (kind) {
      case 'MailDomain':
        return { kind, mailboxes: this.#mailboxes.get(resource.spec.domain) ?? 0 };
      case 'Mailbox':
        return {
          kind,
          domain: this.#domains.get(resource.spec.address.domain) ?? null,
          quotaBytes: this.#accounts.get(resource.uid)?.quotaBytes ?? resource.spec.quota ?? null,
          secretName: resource.spec.password.secretRef?.name ?? generatedSecretName(resource.name),
        };
      case 'MailAlias': {
        const lost = this.#sources.faults.of(resource.uid).filter(({ reason }) => reason === 'MemberNotFound').length;
        return { kind, resolvedMembers: resource.spec.members.length - lost };
      }
      case 'MailCredential': {
        const row = this.#credentials.get(resource.uid);
        const intervalSeconds = resource.spec.rotation?.interval ?? null;
        return {
          kind,
          username: `${resource.name}.${resource.namespace}`,
          secretName: resource.spec.secretName ?? credentialSecretName(resource.name),
          passwordSince: row?.passwordSince ?? null,
          previousUntil: row?.previousUntil ?? null,
          rotationDueAt: row ? rotationDueAt({ intervalSeconds }, row) : null,
        };
      }
      default:
        return { kind };
    }
  }

  #about(ref: ResourceRef, facts: Facts, deletion: Deletion | null): Verdict {
    const { faults, unproved } = this.#sources;
    const row = this.#rows.get(ref.uid);
    return {
      ref,
      faults: faults.of(ref.uid),
      deletion,
      unproved: unproved.get(ref.uid) ?? nothing,
      row: row ? { id: String(row.id) } : null,
      facts,
    };
  }

  #deletion({ uid }: ResourceRef): Deletion {
    const count = this.#sources.waiting.get(uid);
    if (count !== undefined) {
      const message = `${count} Mailboxes and MailAliases are at the domain; delete them first, or annotate it with postrider.dev/delete-with-mailboxes: "true"`;
      return { state: 'blocked', reason: 'MailboxesRemain', message };
    }
    const row = this.#rows.get(uid);
    if (!row) return { state: 'recorded', reason: 'Removed', message: 'nothing follows it any more' };
    if (row.isRetained) {
      const message = row.purges
        ? 'it is out of use and is removed after its time'
        : 'it is out of use; its mail is kept';
      return { state: 'recorded', reason: 'RetentionUntil', message };
    }
    return { state: 'planned', reason: 'Removing', message: 'it goes out of use' };
  }
}
