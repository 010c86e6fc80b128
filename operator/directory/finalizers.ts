/**
 * The finalizer of resources whose deletion does something that must be recorded first (deletionPolicy Delete). Nothing
 * else has one, so that no namespace waits for the database.
 */
import { forEachBounded } from '#shared/base/bounded.ts';
import type { OwnObject } from '#operator/foundation/resource-caches.ts';
import { ownTypes } from '#operator/foundation/resource-caches.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { isConflict, isForbidden, isInvalid, isNotFound } from '#operator/kube/kube-error.ts';
import type { KubeObject } from '#operator/kube/resource.ts';

const finalizer = 'postrider.dev/directory';

const patchesAtOnce = 8;
const mostAttempts = 5;

/** Before a row is made for a resource, it has its finalizer; one that needs none any more loses it. */
export async function settleFinalizers(client: KubeClient, objects: Iterable<OwnObject>): Promise<void> {
  const wrong = [...objects].filter((object) => !isDeleting(object) && wantsFinalizer(object) !== hasFinalizer(object));
  await forEachBounded(wrong, patchesAtOnce, (object) => setFinalizer(client, object, wantsFinalizer(object)));
}

export function releaseFinalizer(client: KubeClient, object: OwnObject): Promise<void> {
  return hasFinalizer(object) ? setFinalizer(client, object, false) : Promise.resolve();
}

export function hasFinalizer({ metadata }: KubeObject): boolean {
  return metadata.finalizers?.includes(finalizer) === true;
}

export function isDeleting({ metadata }: KubeObject): boolean {
  return metadata.deletionTimestamp !== undefined;
}

function wantsFinalizer({ spec }: OwnObject): boolean {
  return 'deletionPolicy' in spec && spec.deletionPolicy === 'Delete';
}

/**
 * A merge patch replaces the whole list, so only that of the version we know: others have finalizers too. Where statuses
 * are written meanwhile, ours included, the cache lags behind: then the object is read anew.
 */
async function setFinalizer(client: KubeClient, object: OwnObject, isWanted: boolean): Promise<void> {
  const type = ownTypes.find(({ kind }) => kind === object.kind);
  if (!type) throw new Error(`${object.kind} is not a kind of ours`);
  const { namespace, name, uid } = object.metadata;
  const at = { ...(namespace !== undefined && { namespace }), name };
  try {
    let latest: KubeObject = object;
    for (let attempt = 1; latest.metadata.uid === uid && hasFinalizer(latest) !== isWanted; attempt += 1) {
      const { resourceVersion, finalizers = [] } = latest.metadata;
      const rest = finalizers.filter((each) => each !== finalizer);
      const patch = { metadata: { finalizers: isWanted ? [...rest, finalizer] : rest } };
      try {
        await client.patchMerge(type, at, patch, { resourceVersion });
        return;
      } catch (error) {
        if (!isConflict(error) || attempt === mostAttempts) throw error;
      }
      latest = await client.get(type, at);
    }
  } catch (error) {
    // Changed again and again, or gone. What a webhook or an older object's schema refuses holds up nobody else; it is
    // tried again with each comparison.
    if (![isConflict, isNotFound, isForbidden, isInvalid].some((isThat) => isThat(error))) throw error;
  }
}
