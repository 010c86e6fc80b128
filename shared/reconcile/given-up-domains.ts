/**
 * Domains that changed hands. Whoever shows that a domain is theirs gets it empty: the row of who had it before is kept
 * out of use, with its accounts and their mail, under a name that no mail can come to, and takes its name back should
 * the domain come back. Nobody reads another's mail by having their domain.
 */
import type { Action } from '#shared/provisioning/plan.ts';
import type { MailDomainResource } from '#shared/provisioning/resource.ts';
import type { StoredDirectory } from './read-directory.ts';

type Row = StoredDirectory['domains'][number];
type Rename = Extract<Action, { readonly do: 'rename-domain' }>;

export type Room = { readonly stored: StoredDirectory; readonly actions: readonly Action[] };

/** RFC 6761 section 6.4: no name below "invalid" exists. */
function givenUpName(id: bigint): string {
  return `${id}.given-up.invalid`;
}

function hasGivenUpName({ id, name }: Row): boolean {
  return name === givenUpName(id);
}

/** Whether the resource's row is one that was given up. */
export function isGivenUp({ domains }: StoredDirectory, uid: string): boolean {
  return domains.some((row) => row.resourceUid === uid && hasGivenUpName(row));
}

/**
 * The directory as it is once domains that were lost have made room, and those of `ready` that come back have their names
 * again. `lost`: UIDs.
 */
export function makeRoom(
  stored: StoredDirectory,
  { lost, ready }: { readonly lost: ReadonlySet<string>; readonly ready: readonly MailDomainResource[] },
): Room {
  const rows = stored.domains;
  const back = new Map(
    ready.flatMap((domain) => {
      const row = rows.find(({ resourceUid }) => resourceUid === domain.uid);
      return row && hasGivenUpName(row) ? [[domain.spec.domain, row] as const] : [];
    }),
  );
  if (lost.size === 0 && back.size === 0) return { stored, actions: [] };
  const isInTheWay = (row: Row): boolean =>
    !hasGivenUpName(row) && (lost.has(row.resourceUid ?? '') || (row.isRetained && back.has(row.name)));
  const renames = [
    ...rows.filter(isInTheWay).map((row) => rename(row, givenUpName(row.id), true)),
    ...[...back].map(([name, row]) => rename(row, name, false)),
  ];
  return { stored: renamed(stored, renames), actions: renames };
}

function rename({ id, resourceUid: uid }: Row, name: string, isGivenUp: boolean): Rename {
  return { do: 'rename-domain', id, uid, name, isGivenUp };
}

function renamed(stored: StoredDirectory, renames: readonly Rename[]): StoredDirectory {
  const byId = new Map(renames.map((each) => [each.id, each]));
  const names = new Map(stored.domains.map(({ id, name }) => [name, byId.get(id)?.name ?? name]));
  const at = <One extends { readonly domain: string }>(one: One): One => ({
    ...one,
    domain: names.get(one.domain) ?? one.domain,
  });
  return {
    ...stored,
    domains: stored.domains.map((row) => {
      const change = byId.get(row.id);
      if (!change) return row;
      // No name leads to it, until the plan has its own do so again.
      return { ...row, name: change.name, hasOwnName: false, aliasDomains: [], isRetained: true };
    }),
    accounts: stored.accounts.map((row) => ({ ...at(row), aliases: row.aliases.map(at) })),
    aliases: stored.aliases.map(at),
  };
}
