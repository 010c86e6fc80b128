/** What to do so that the routes follow their resources. Pure; a second run plans nothing. */
import type { WantedRoute } from './mail-route-wanted.ts';

export type ObservedRoute = {
  readonly id: bigint;
  readonly resourceUid: string;
  readonly resourceName: string;
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
  const rows = new Map(observed.map((row) => [row.resourceUid, row]));
  const uids = new Set(wanted.map(({ uid }) => uid));
  return [
    ...observed
      .filter(({ resourceUid }) => !uids.has(resourceUid) && !kept.has(resourceUid))
      .map(({ id, resourceUid: uid, resourceName }) => ({ do: 'delete-route' as const, id, uid, resourceName })),
    ...wanted
      .filter((route) => {
        const row = rows.get(route.uid);
        return row?.specHash !== route.specHash || row.secrets === 'other';
      })
      .map((route) => ({ do: 'put-route' as const, id: rows.get(route.uid)?.id ?? null, uid: route.uid, route })),
  ];
}
