/** Resources that are there to stay. One that is being deleted goes at once, but for a domain that has to wait. */
import type { MailDomainResource, Resource, Resources } from '#shared/provisioning/resource.ts';

/** An annotation of a MailDomain that is to be deleted though it has mailboxes. */
const deleteAnnotation = 'postrider.dev/delete-with-mailboxes';

export type Living = {
  readonly living: Resources;
  /** Domains that are being deleted and wait for what is at them, by UID: the number of resources. */
  readonly waiting: ReadonlyMap<string, number>;
};

export function findLiving(resources: Resources): Living {
  const mailboxes = alive(resources.mailboxes);
  const aliases = alive(resources.aliases);
  const waiting = new Map(
    resources.domains.flatMap((domain) => {
      const count = domain.isDeleting && isPatient(domain) ? countAt(domain, [...mailboxes, ...aliases]) : 0;
      return count > 0 ? [[domain.uid, count] as const] : [];
    }),
  );
  const living: Resources = {
    ...resources,
    domains: resources.domains.filter(({ isDeleting, uid }) => !isDeleting || waiting.has(uid)),
    mailboxes,
    aliases,
    routes: alive(resources.routes),
    credentials: alive(resources.credentials),
  };
  return { living, waiting };
}

function alive<One extends Resource>(resources: readonly One[]): readonly One[] {
  return resources.some(({ isDeleting }) => isDeleting) ? resources.filter(({ isDeleting }) => !isDeleting) : resources;
}

/** With any other policy its mailboxes lose nothing. */
function isPatient({ spec, annotations }: MailDomainResource): boolean {
  return spec.deletionPolicy === 'Delete' && annotations[deleteAnnotation] !== 'true';
}

type Addressed = { readonly spec: { readonly address: { readonly domain: string } } };

function countAt({ spec }: MailDomainResource, addressed: readonly Addressed[]): number {
  const names = new Set([spec.domain, ...spec.aliasDomains]);
  return addressed.filter(({ spec: { address } }) => names.has(address.domain)).length;
}
