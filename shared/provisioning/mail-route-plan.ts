/** What to do so that the routes follow their resources. Pure; a second run plans nothing. */
import type { WantedRoute } from './mail-route-wanted.ts';

export type ObservedRoute = {
  readonly id: bigint;
  readonly resourceUid: string;
  readonly resourceName: string;
  /** `routeColumns` of the row. */
  readonly columns: string;
  readonly specHash: string;
  /** Whether its secrets are those that are wanted of it now. */
  readonly secrets: 'same' | 'other';
};

export type RouteAction =
  | { readonly do: 'delete-route'; readonly id: bigint; readonly uid: string; readonly resourceName: string }
  | { readonly do: 'put-route'; readonly id: bigint | null; readonly uid: string; readonly route: WantedRoute };

/** `kept`: the UIDs of resources whose rows stay as they are. */
export function planRoutes(
  wanted: readonly WantedRoute[],
  observed: readonly ObservedRoute[],
  kept: ReadonlySet<string>,
): readonly RouteAction[] {
  const rows = new Map(observed.flatMap((row) => [[row.resourceUid, row] as const, [row.resourceName, row] as const]));
  // One that was made anew under its old name takes the row up.
  const rowOf = (route: WantedRoute): ObservedRoute | null =>
    rows.get(route.uid) ?? rows.get(route.resourceName) ?? null;
  const takenUp = new Set(wanted.map(rowOf));
  return [
    ...observed
      .filter((row) => !takenUp.has(row) && !kept.has(row.resourceUid))
      .map(({ id, resourceUid: uid, resourceName }) => ({ do: 'delete-route' as const, id, uid, resourceName })),
    ...wanted
      .filter((route) => {
        const row = rowOf(route);
        return !row || !isSame(route, row);
      })
      .map((route) => ({ do: 'put-route' as const, id: rowOf(route)?.id ?? null, uid: route.uid, route })),
  ];
}

function isSame(route: WantedRoute, row: ObservedRoute): boolean {
  const { priority, senderDomains, recipientDomains, spec } = route;
  return (
    row.resourceUid === route.uid &&
    row.specHash === route.specHash &&
    row.secrets === 'same' &&
    row.columns === routeColumns(priority, senderDomains, recipientDomains, spec)
  );
}

/** One text for columns that are alike, in whichever order the keys of the spec come back. */
export function routeColumns(
  priority: number,
  senderDomains: readonly string[],
  recipientDomains: readonly string[],
  spec: unknown,
): string {
  return JSON.stringify([priority, senderDomains, recipientDomains, spec], (_, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
}
