/**
 * A guard. Rows whose resources are missing, though nobody saw them deleted, may be those of a cluster that was built
 * anew, of another cluster, or of a cache that lacks something: many at once are left as they are.
 */
import type { ResourceRef } from '#shared/provisioning/fault.ts';
import type { Resource, Resources } from '#shared/provisioning/resource.ts';
import type { StoredDirectory } from './read-directory.ts';

/** That many may go whatever their share is, and that share of a kind. */
const fewRows = 3;
const mostShare = 0.05;

/** An annotation of a MailServer, as long as it is wanted. */
const massDetachAnnotation = 'postrider.dev/allow-mass-detach';

export type MassDetach = {
  /** UIDs that rows follow and no resource has. */
  readonly uids: ReadonlySet<string>;
  /** Null: not too many. */
  readonly blocked: { readonly missing: number; readonly of: number; readonly message: string } | null;
};

type Managed = { readonly kind: string; readonly uid: string; readonly name: string; readonly what: string };

export type MissingOptions = {
  readonly resources: Resources;
  /** UIDs of resources that are there, and not among `resources`. */
  readonly unread: readonly string[];
  readonly stored: StoredDirectory;
  /** UIDs whose deletion was seen. */
  readonly deletedUids: ReadonlySet<string>;
  /** Rows follow a resource of the same kind, namespace, name and address in place of the one that is missing. */
  readonly mayAdopt: boolean;
};

export function findMissing({ resources, unread, stored, deletedUids, mayAdopt }: MissingOptions): MassDetach {
  const all = managedResources(resources);
  const present = new Set([...all.map(({ uid }) => uid), ...unread]);
  const heirs = new Set(mayAdopt ? all.map((resource) => identity(resource.kind, resource, wanted(resource))) : []);
  const rows = managedRows(stored);
  const isMissing = ({ kind, uid, name, what }: Managed): boolean =>
    !present.has(uid) && !deletedUids.has(uid) && !heirs.has(`${kind} ${name} ${what}`);
  const missing = rows.filter(isMissing);
  const uids = new Set(missing.map(({ uid }) => uid));
  if (missing.length === 0) return { uids, blocked: null };
  return { uids, blocked: tooMany(rows, missing) ?? tooManyMailboxes(stored, missing) };
}

function tooMany(rows: readonly Managed[], missing: readonly Managed[]): MassDetach['blocked'] {
  for (const kind of new Set(missing.map((row) => row.kind))) {
    const count = missing.filter((row) => row.kind === kind).length;
    const of = rows.filter((row) => row.kind === kind).length;
    if (count > fewRows && count > of * mostShare) return verdict(count, of, `rows of kind ${kind} have no resource`);
  }
  return null;
}

/** A domain that goes takes the mail of all its mailboxes with it. */
function tooManyMailboxes({ accounts }: StoredDirectory, missing: readonly Managed[]): MassDetach['blocked'] {
  const domains = new Set(missing.filter(({ kind }) => kind === 'MailDomain').map(({ what }) => what));
  const inUse = accounts.filter((row) => !row.isRetained);
  const count = inUse.filter((row) => domains.has(row.domain)).length;
  if (count <= fewRows || count <= inUse.length * mostShare) return null;
  return verdict(count, inUse.length, 'mailboxes are at domains that have no resource');
}

function verdict(missing: number, of: number, what: string): MassDetach['blocked'] {
  const how = `annotate the MailServer with ${massDetachAnnotation}: "true" to detach them, or set spec.adoptFrom: SameName to have them follow the resources of the same names`;
  return {
    missing,
    of,
    message: `${missing} of ${of} ${what}, which nobody was seen to delete; they stay as they are: ${how}`,
  };
}

function managedResources({ domains, mailboxes, aliases, routes, credentials }: Resources): readonly Resource[] {
  return [...domains, ...mailboxes, ...aliases, ...routes, ...credentials];
}

/** Rows that follow a resource and are in use. */
function managedRows({ domains, accounts, aliases, routes, credentials }: StoredDirectory): readonly Managed[] {
  const rows: Managed[] = [];
  const add = (
    kind: string,
    row: { readonly resourceUid: string | null; readonly resourceName: string | null },
    what: string,
  ): void => {
    if (row.resourceUid !== null) rows.push({ kind, uid: row.resourceUid, name: row.resourceName ?? '', what });
  };
  for (const row of domains) if (!row.isRetained) add('MailDomain', row, row.name);
  for (const row of accounts) if (!row.isRetained) add('Mailbox', row, `${row.localPart}@${row.domain}`);
  for (const row of aliases) if (!row.isRetained) add('MailAlias', row, `${row.localPart}@${row.domain}`);
  for (const row of routes) add('MailRoute', row, '');
  for (const row of credentials) add('MailCredential', row, '');
  return rows;
}

function identity(kind: string, { namespace, name }: ResourceRef, what: string): string {
  return `${kind} ${namespace}/${name} ${what}`;
}

/** As `managedRows` has it. An address is written in its canonical form. */
function wanted({ spec }: Resource): string {
  if (typeof spec !== 'object' || spec === null) return '';
  if ('domain' in spec && typeof spec.domain === 'string') return spec.domain;
  if ('address' in spec) {
    const { localPart, domain } = spec.address as { readonly localPart: string; readonly domain: string };
    return `${localPart}@${domain}`;
  }
  return '';
}
