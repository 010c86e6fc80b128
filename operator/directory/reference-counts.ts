/** How many resources name another one: fields of a status that no row has. */
import type { Resources } from '#shared/provisioning/resource.ts';
import type { OwnObject } from '#operator/foundation/resource-caches.ts';

export class ReferenceCounts {
  readonly #aliases = new Map<string, number>();
  readonly #policies = new Map<string, number>();

  constructor({ domains, aliases }: Pick<Resources, 'domains' | 'aliases'>) {
    for (const { spec } of aliases) add(this.#aliases, spec.address.domain);
    for (const { namespace, spec } of domains) {
      if (spec.policyRef) add(this.#policies, `${namespace}/${spec.policyRef.name}`);
    }
  }

  /** MailAliases of a MailDomain, MailDomains of a MailPolicy. */
  fieldsOf(object: OwnObject): Readonly<Record<string, number>> {
    const { kind, metadata, spec } = object;
    if (kind === 'MailDomain' && 'domain' in spec) return { aliases: this.#aliases.get(spec.domain) ?? 0 };
    if (kind !== 'MailPolicy') return {};
    return { attachedDomains: this.#policies.get(`${metadata.namespace ?? ''}/${metadata.name}`) ?? 0 };
  }
}

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
