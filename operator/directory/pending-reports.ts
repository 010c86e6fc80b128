/** What statuses say while nothing can be done: of resources that wait for it. The others keep their last state. */
import type { Clock } from '#shared/base/clock.ts';
import type { OperatorConfig } from '#shared/config/operator-config.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import type { EventRecorder } from '#operator/kube/event-recorder.ts';
import { refOf } from '#operator/kube/resource.ts';
import { ownershipNow } from '#operator/foundation/ownership.ts';
import { ownCaches, type OwnObject, type ResourceCaches } from '#operator/foundation/resource-caches.ts';
import { findCondition } from '#operator/status/condition.ts';
import type { StatusBoard } from '#operator/status/status-board.ts';
import type { DatabaseTrouble } from './database-state.ts';
import { hasFinalizer, isDeleting, releaseFinalizer } from './finalizers.ts';

/** The part of a status that this folder reports. */
export const directoryPart = 'directory';

/**
 * A deletion is held up by the finalizer for so long where the database is away, then let go: the row says that it is
 * to be deleted, and the first comparison with the database that is back does it.
 */
const longestHoldMs = 15 * 60_000;

export type PendingOptions = {
  readonly client: KubeClient;
  readonly resources: ResourceCaches;
  readonly namespace: string;
  readonly config: Pick<OperatorConfig, 'watchedNamespaces'>;
  readonly board: StatusBoard;
  readonly events: Pick<EventRecorder, 'record'>;
  readonly clock: Clock;
};

export async function reportPending(options: PendingOptions, trouble: DatabaseTrouble): Promise<void> {
  const isOurs = ownershipNow(options);
  for (const object of ownCaches(options.resources).flatMap((cache) => cache.items())) {
    if (!isPending(object) || !isOurs(object)) continue;
    options.board.report(object, directoryPart, {
      generation: object.metadata.generation ?? 0,
      conditions: [
        { type: 'Synced', ...trouble },
        ...(isHeld(object) ? [{ type: 'Deleting', ...trouble, status: 'True' as const }] : []),
      ],
    });
    if (isHeld(object) && isOverdue(object, options.clock)) await letGo(options, object);
  }
}

/** Its spec was not put into the database yet, or it speaks for the whole installation. */
function isPending(object: OwnObject): boolean {
  if (object.kind === 'MailServer' || isHeld(object)) return true;
  const synced = findCondition(object.status, 'Synced');
  return synced?.observedGeneration !== object.metadata.generation || synced?.status !== 'True';
}

function isHeld(object: OwnObject): boolean {
  return isDeleting(object) && hasFinalizer(object);
}

function isOverdue({ metadata }: OwnObject, clock: Clock): boolean {
  return clock.now().getTime() - Date.parse(metadata.deletionTimestamp ?? '') > longestHoldMs;
}

async function letGo({ client, events }: PendingOptions, object: OwnObject): Promise<void> {
  const message = 'deleted without the database, which is away; its row goes when the database is back';
  events.record(refOf(object), { type: 'Warning', reason: 'DeletionUnconfirmed', message });
  await releaseFinalizer(client, object);
}
