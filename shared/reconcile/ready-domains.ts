/** Which MailDomains may be domains of ours: their server must let them in, and each name must be proved. Pure. */
import { resourceFault } from '#shared/provisioning/fault.ts';
import type { FaultReason, Path, ResourceFault } from '#shared/provisioning/fault.ts';
import { selects } from '#shared/provisioning/label-selector.ts';
import type { Labels } from '#shared/provisioning/label-selector.ts';
import { labelOf } from '#shared/provisioning/resource.ts';
import type { MailDomainResource, MailServerResource } from '#shared/provisioning/resource.ts';
import { isGivenUp } from './given-up-domains.ts';
import type { StoredDirectory } from './read-directory.ts';

/** Says for a namespace whether it has the name; asked for the domain and for each alias domain. */
export type IsProved = (domain: MailDomainResource, name: string) => boolean;

export type ReadyDomains = {
  /** Without alias domains that are not proved. */
  readonly domains: readonly MailDomainResource[];
  readonly faults: readonly ResourceFault[];
  /** Names of the domains that are left out, and why. */
  readonly notReady: ReadonlyMap<string, string>;
  /** By UID: the names that are not proved. */
  readonly unproved: ReadonlyMap<string, readonly string[]>;
  /** UIDs of MailDomains whose domain is another namespace's by now: their rows are to make room. */
  readonly lost: ReadonlySet<string>;
};

type Options = {
  readonly servers: readonly MailServerResource[];
  readonly stored: StoredDirectory;
  readonly namespaceLabels: ReadonlyMap<string, Labels>;
  readonly isProved: IsProved;
  /** Proved for so long that it takes the name from a namespace that has lost its proof. None unless told. */
  readonly isEstablished?: IsProved;
  readonly mayAdopt: boolean;
};

export function readyDomains(domains: readonly MailDomainResource[], options: Options): ReadyDomains {
  const { stored, isProved, mayAdopt } = options;
  const ready: MailDomainResource[] = [];
  const faults: ResourceFault[] = [];
  const notReady = new Map<string, string>();
  const unproved = new Map<string, readonly string[]>();
  const ours = namesInUse(stored, mayAdopt);
  const rivals = findRivals(domains, options);
  const isInUse = (domain: MailDomainResource, name: string): boolean =>
    ours.get(domain.uid)?.has(name) === true || ours.get(nameOf(domain))?.has(name) === true;
  const lost = new Set(
    domains.flatMap((domain) => {
      const { spec, uid } = domain;
      const isLost = isInUse(domain, spec.domain) && !isProved(domain, spec.domain) && rivals(domain, spec.domain);
      return isLost && refusedByServer(domain, options) === null ? [uid] : [];
    }),
  );
  // Of two, it stays whose it is; age decides only where it is nobody's yet.
  const wanting = new Map(domains.map(({ uid, spec }) => [uid, spec.domain]));
  const rows = new Map(stored.domains.map((row) => [row.name, row]));
  for (const domain of domains) {
    const { uid, spec } = domain;
    const leaveOut = (path: Path, reason: FaultReason, message: string): void => {
      faults.push(resourceFault(domain, domain.at(path), reason, message));
      for (const name of [spec.domain, ...spec.aliasDomains]) notReady.set(name, `${labelOf(domain)} is not in use`);
    };
    const refused = refusedByServer(domain, options);
    if (refused) {
      leaveOut(['spec', 'serverRef'], refused.reason, refused.message);
      continue;
    }
    // What is ours already stays so until another shows that it is his; a name is asked about before it becomes ours.
    const isOurs = (name: string): boolean =>
      isProved(domain, name) || (isInUse(domain, name) && rivals(domain, name) === null);
    const missing = [spec.domain, ...spec.aliasDomains].filter((name) => !isOurs(name));
    if (missing.length > 0) unproved.set(uid, missing);
    if (missing.includes(spec.domain)) {
      leaveOut(['spec', 'domain'], 'DomainNotProved', whyNotProved(domain, rivals(domain, spec.domain)));
      continue;
    }
    const holder = holderOf(rows.get(spec.domain), uid, lost);
    const isThere = holder !== null && (isGivenUp(stored, uid) || wanting.get(holder.uid) === spec.domain);
    if (isThere) {
      const message = `the domain ${spec.domain} is that of MailDomain ${holder.name}, whose record is there too`;
      leaveOut(['spec', 'domain'], 'DomainConflict', message);
    } else if (missing.length === 0) ready.push(domain);
    else {
      const aliasDomains = spec.aliasDomains.filter((name) => !missing.includes(name));
      ready.push({ ...domain, spec: { ...spec, aliasDomains } });
    }
  }
  return { domains: ready, faults, notReady, unproved, lost };
}

/** A MailDomain of another namespace that has shown for long that it has the name; null: there is none. */
type Rivals = (domain: MailDomainResource, name: string) => MailDomainResource | null;

function findRivals(domains: readonly MailDomainResource[], options: Options): Rivals {
  const { isEstablished } = options;
  if (!isEstablished) return () => null;
  const byName = new Map<string, MailDomainResource[]>();
  for (const domain of domains) {
    for (const name of [domain.spec.domain, ...domain.spec.aliasDomains]) {
      byName.set(name, [...(byName.get(name) ?? []), domain]);
    }
  }
  return (domain, name) =>
    byName
      .get(name)
      ?.find(
        (other) =>
          other.namespace !== domain.namespace &&
          isEstablished(other, name) &&
          refusedByServer(other, options) === null,
      ) ?? null;
}

function whyNotProved({ namespace, spec }: MailDomainResource, rival: MailDomainResource | null): string {
  if (rival)
    return `the domain ${spec.domain} is that of ${labelOf(rival)} by now: its zone has the record of that one`;
  return `nobody has shown that ${namespace} has the domain ${spec.domain}: see the record in status, or list it in the MailServer`;
}

/** Whose a name's row is, where that is in use and another's. */
function holderOf(
  row: StoredDirectory['domains'][number] | undefined,
  uid: string,
  lost: ReadonlySet<string>,
): { readonly uid: string; readonly name: string } | null {
  if (!row || row.isRetained || row.resourceUid === null || row.resourceName === null) return null;
  return row.resourceUid === uid || lost.has(row.resourceUid) ? null : { uid: row.resourceUid, name: row.resourceName };
}

/** By UID, and where rows may follow resources of the same name, by that; the names that domains go by. */
function namesInUse({ domains }: StoredDirectory, mayAdopt: boolean): ReadonlyMap<string, ReadonlySet<string>> {
  const names = new Map<string, ReadonlySet<string>>();
  for (const { resourceUid, resourceName, isRetained, name, aliasDomains } of domains) {
    if (isRetained || resourceUid === null || resourceName === null) continue;
    const own = new Set([name, ...aliasDomains]);
    names.set(resourceUid, own);
    if (mayAdopt) names.set(resourceName, own);
  }
  return names;
}

function nameOf({ namespace, name }: MailDomainResource): string {
  return `${namespace}/${name}`;
}

function refusedByServer(
  domain: MailDomainResource,
  { servers, namespaceLabels }: Options,
): { readonly reason: FaultReason; readonly message: string } | null {
  const { name, namespace = domain.namespace } = domain.spec.serverRef;
  const server = servers.find((each) => each.name === name && each.namespace === namespace);
  if (!server) return { reason: 'ServerNotFound', message: `there is no MailServer ${namespace}/${name}` };
  if (server.namespace === domain.namespace) return null;
  const { from, selector } = server.spec.allowedNamespaces;
  const labels = namespaceLabels.get(domain.namespace);
  if (from === 'All') return null;
  if (from === 'Selector' && selector && labels && selects(selector, labels)) return null;
  const message = `${labelOf(server)} lets nobody in ${domain.namespace} have domains (spec.allowedNamespaces)`;
  return { reason: 'NotAllowedByServer', message };
}

/** Whether the domain's MailServer lists the name, which needs no proof then. */
export function isListed(servers: readonly MailServerResource[], domain: MailDomainResource, name: string): boolean {
  const { name: serverName, namespace = domain.namespace } = domain.spec.serverRef;
  const server = servers.find((each) => each.name === serverName && each.namespace === namespace);
  return server?.spec.domains.some((pattern) => pattern === name || isBelow(pattern, name)) ?? false;
}

/** "*.test" has every name below test. */
function isBelow(pattern: string, name: string): boolean {
  return pattern.startsWith('*.') && name.endsWith(pattern.slice(1)) && name.length > pattern.length - 1;
}
