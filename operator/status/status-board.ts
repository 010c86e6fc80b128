/**
 * The only writer of the status of our resources. The parts of the operator report what they found out; the board makes
 * one status of it, writes it where it differs from what the API server has, and tells of what changed for the worse
 * or for the better as Events. After a restart it goes on from the status in the informer's cache, so that nothing is
 * written before something is different.
 */
import type { Clock } from '#shared/base/clock.ts';
import type { KubeMetrics } from '#shared/observe/kube-metrics.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { Controller, TerminalError } from '#operator/kube/controller.ts';
import type { EventRecorder } from '#operator/kube/event-recorder.ts';
import { isConflict, isInvalid, isNotFound, isUndeclaredField } from '#operator/kube/kube-error.ts';
import { apiVersionOf, refOf } from '#operator/kube/resource.ts';
import type { KubeObject, ObjectRef, ResourceType } from '#operator/kube/resource.ts';
import { composeStatus } from './compose-status.ts';
import { findCondition } from './condition.ts';
import type { PartReport, ResourceStatus } from './condition.ts';
import { sameJson } from './same-json.ts';
import { transitions } from './transitions.ts';

export type StatusBoardOptions = {
  readonly client: KubeClient;
  readonly events: Pick<EventRecorder, 'record'>;
  /** The kinds that have a status of ours. */
  readonly types: readonly ResourceType[];
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: KubeMetrics;
  /** Statuses written at a time; 10. */
  readonly workers?: number;
};

type StatusObject = KubeObject & { readonly status?: ResourceStatus };

type Entry = {
  readonly ref: ObjectRef;
  /** What the API server is believed to have. */
  current: ResourceStatus | undefined;
  /** The version that `current` came with. */
  resourceVersion: string;
  /** What it made of the status sent last, where that is not what was sent: a field its schema does not know. */
  prunedTo: ResourceStatus | null;
  /** By the part's name; a Map each would be most of an entry. */
  readonly parts: Record<string, PartReport>;
};

/** How many resources of a kind are in which state, for the metrics. */
export type StatusCount = {
  readonly kind: string;
  readonly ready: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly count: number;
};

/** Parts that report at about the same time share a write. */
const settleMs = 5;

export class StatusBoard implements AsyncDisposable {
  readonly #options: StatusBoardOptions;
  readonly #types: ReadonlyMap<string, ResourceType>;
  readonly #entries = new Map<string, Entry>();
  /** By kind: fields that its CRD does not have, which may be older than this program. */
  readonly #undeclared = new Map<string, ReadonlySet<string>>();
  readonly #writer: Controller;

  constructor(options: StatusBoardOptions) {
    const { logger, metrics, clock, workers = 10 } = options;
    this.#options = options;
    this.#types = new Map(options.types.map((type) => [type.kind, type]));
    this.#writer = new Controller({
      name: 'status',
      workers,
      reconcile: (uid) => this.#write(uid),
      logger,
      metrics,
      clock,
    });
    this.#writer.start();
  }

  /** What `part` has to say about the object from now on, in place of what it said before. Cheap where it is the same. */
  report(object: StatusObject, part: string, report: PartReport): void {
    const entry = this.#entryOf(object);
    const before = entry.parts[part];
    if (before !== undefined && sameJson(before, report)) return;
    entry.parts[part] = report;
    this.#writeIfDifferent(object.metadata.uid, entry);
  }

  /** To be told of each change that an informer sees: what somebody else wrote into a status is put right. */
  observe(object: StatusObject): void {
    const entry = this.#entries.get(object.metadata.uid);
    if (!entry || isOlder(object.metadata.resourceVersion, entry.resourceVersion)) return;
    entry.resourceVersion = object.metadata.resourceVersion;
    if (entry.prunedTo !== null && sameJson(object.status, entry.prunedTo)) return;
    // Our own write that comes back: the cache's object is kept, so that there are not two of them.
    const isKnown = sameJson(object.status, entry.current);
    entry.current = object.status;
    if (!isKnown) this.#writeIfDifferent(object.metadata.uid, entry);
  }

  /** The object is gone. */
  forget(uid: string): void {
    this.#entries.delete(uid);
  }

  /** Of each resource that any part has reported. */
  counts(): readonly StatusCount[] {
    const counts = new Map<string, StatusCount>();
    for (const { ref, current } of this.#entries.values()) {
      const { status = 'Unknown', reason = 'Pending' } = findCondition(current, 'Ready') ?? {};
      const key = `${ref.kind} ${status} ${reason}`;
      const count = (counts.get(key)?.count ?? 0) + 1;
      counts.set(key, { kind: ref.kind, ready: status, reason, count });
    }
    return [...counts.values()];
  }

  /** Of each resource of these kinds: whether it is Ready. */
  readiness(kinds: readonly string[]): readonly { readonly ref: ObjectRef; readonly isReady: boolean }[] {
    return [...this.#entries.values()]
      .filter(({ ref }) => kinds.includes(ref.kind))
      .map(({ ref, current }) => ({ ref, isReady: findCondition(current, 'Ready')?.status === 'True' }));
  }

  /** What is being written is waited for; what waits is left to whoever leads next. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.stop();
  }

  #entryOf(object: StatusObject): Entry {
    const { uid, resourceVersion } = object.metadata;
    const known = this.#entries.get(uid);
    if (known) return known;
    const entry: Entry = {
      ref: refOf(object),
      current: object.status,
      resourceVersion,
      prunedTo: null,
      parts: {},
    };
    this.#entries.set(uid, entry);
    return entry;
  }

  #writeIfDifferent(uid: string, entry: Entry): void {
    if (this.#compose(entry) !== entry.current) this.#writer.enqueue(uid, { afterMs: settleMs });
  }

  #compose({ ref, current, parts }: Entry): ResourceStatus {
    return composeStatus(ref.kind, current, Object.values(parts), this.#options.clock.now());
  }

  async #write(uid: string): Promise<void> {
    const entry = this.#entries.get(uid);
    const before = entry?.current;
    const status = entry && this.#compose(entry);
    if (!entry || status === undefined || status === before) return;
    const written = await this.#apply(entry, status);
    if (written === null) {
      this.forget(uid);
      return;
    }
    entry.resourceVersion = written.metadata.resourceVersion;
    entry.current = status;
    entry.prunedTo = sameJson(written.status, status) ? null : (written.status ?? {});
    if (entry.prunedTo !== null) this.#warnPruned(entry.ref);
    for (const note of transitions(before, status)) this.#options.events.record(entry.ref, note);
    // A part may have reported while this was written.
    this.#writeIfDifferent(uid, entry);
  }

  /** Null: the object is gone, or another has its name. */
  async #apply({ ref }: Pick<Entry, 'ref'>, status: ResourceStatus): Promise<StatusObject | null> {
    const type = this.#types.get(ref.kind);
    if (!type) throw new TerminalError(`${ref.kind} has no status of ours`);
    const { namespace, name, uid } = ref;
    const undeclared = this.#undeclared.get(ref.kind) ?? new Set();
    try {
      return await this.#options.client.applyStatus<StatusObject>(type, {
        apiVersion: apiVersionOf(type),
        kind: type.kind,
        // With the uid, so that an object made anew under the name does not get the status of the one before.
        metadata: { ...(namespace !== undefined && { namespace }), name, uid },
        status: Object.fromEntries(Object.entries(status).filter(([field]) => !undeclared.has(field))),
      });
    } catch (error) {
      if (isNotFound(error) || isConflict(error)) return null;
      if (isUndeclaredField(error)) {
        const more = error.causes.flatMap(({ field }) => /^status\.(\w+)/.exec(field)?.[1] ?? []);
        if (more.length === 0 || more.some((field) => undeclared.has(field))) throw error;
        // The rest of the status is worth having.
        this.#undeclared.set(ref.kind, new Set([...undeclared, ...more]));
        return this.#apply({ ref }, status);
      }
      if (isInvalid(error)) throw new TerminalError(`the status of ${ref.kind} was refused`, { cause: error });
      throw error;
    }
  }

  #warnPruned({ kind, namespace, name }: ObjectRef): void {
    this.#options.logger.warn(
      { event: 'status.pruned', kind, namespace, name },
      'the API server did not keep all of the status: its CRDs are of another version than this program',
    );
  }
}

/** Versions are numbers that grow (KEP-5504); any other form counts as newer. */
function isOlder(version: string, than: string): boolean {
  if (!/^\d+$/.test(version) || !/^\d+$/.test(than)) return false;
  return BigInt(version) < BigInt(than);
}
