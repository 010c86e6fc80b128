/**
 * A cache of all objects of a kind, kept as the API server has them: listed once in pages, then watched. It goes on
 * through everything that connections and servers do; what it could not hear it learns from a new list.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '#shared/base/clock.ts';
import type { KubeMetrics } from '#shared/observe/kube-metrics.ts';
import type { Logger } from '#shared/observe/logger.ts';
import { Backoff } from './backoff.ts';
import type { KubeClient, Selection } from './client.ts';
import { isExpired, isNotFound, KubeError } from './kube-error.ts';
import { ObjectStore, type Change, type ObjectIndex } from './object-store.ts';
import { keyOf, withoutManagedFields, type KubeObject, type ResourceType } from './resource.ts';
import { SharedValues } from './shared-values.ts';

export type InformerOptions<T extends KubeObject> = Selection & {
  readonly client: KubeClient;
  readonly type: ResourceType<T>;
  readonly logger: Logger;
  readonly metrics: KubeMetrics;
  readonly clock: Clock;
  /** A watch on which nothing is heard for so long is given up (the server sends a bookmark a minute); 90,000. */
  readonly idleMs?: number;
};

type ListReason = 'start' | 'expired' | 'failed';

/** The server ends a watch after some minutes, so that watches move between servers; not all at once. */
const shortestWatchSeconds = 240;
const longestWatchSeconds = 480;
const firstWaitMs = 200;
const longestWaitMs = 30_000;
/** How soon a CRD that appears is seen, at the latest. */
const longestMissingWaitMs = 15_000;
/** A watch that ends sooner than this is no better than one that fails. */
const shortWatchMs = 1_000;
/** Failures in a row after which the version that is watched from may be what is wrong (a restored etcd). */
const failuresBeforeList = 5;
/** A watch that is away for longer is worth telling a health check. */
const tolerableAwayMs = 60_000;

export class Informer<T extends KubeObject = KubeObject> implements AsyncDisposable {
  /** Begins at once; never fails: what cannot be read is tried again until `Symbol.asyncDispose`. */
  static open<T extends KubeObject>(options: InformerOptions<T>): Informer<T> {
    return new Informer(options);
  }

  /** Resolves when the cache was filled once and every listener heard of all of it. */
  readonly synced: Promise<void>;
  readonly #options: InformerOptions<T>;
  readonly #logger: Logger;
  readonly #kind: { readonly kind: string };
  readonly #store = new ObjectStore<T>();
  readonly #shared = new SharedValues();
  readonly #listeners = new Set<(change: Change<T>) => unknown>();
  readonly #ending = new AbortController();
  readonly #listBackoff = new Backoff(firstWaitMs, longestWaitMs);
  readonly #missingBackoff = new Backoff(firstWaitMs, longestMissingWaitMs);
  readonly #setSynced: () => void;
  readonly #ended: Promise<void>;
  #isSynced = false;
  #isServed = true;
  /** Since when nothing works, and why; null while the watch is there. */
  #away: { readonly since: number; readonly reason: string } | null = null;

  private constructor(options: InformerOptions<T>) {
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.synced = promise;
    this.#setSynced = resolve;
    this.#logger = options.logger.child({ kind: options.type.kind });
    this.#kind = { kind: options.type.kind };
    options.metrics.informerSynced.set(this.#kind, 0);
    this.#ended = this.#run();
  }

  get isSynced(): boolean {
    return this.#isSynced;
  }

  /** False while the server does not know the kind (its CRD is missing); what the cache holds stays. */
  get isServed(): boolean {
    return this.#isServed;
  }

  /** All objects, in no order. The array is not changed afterwards. */
  items(): readonly T[] {
    return this.#store.items();
  }

  /** `namespace` is undefined for kinds that belong to none. */
  get(namespace: string | undefined, name: string): T | undefined {
    return this.#store.get(keyOf(namespace === undefined ? { name } : { namespace, name }));
  }

  byUid(uid: string): T | undefined {
    return this.#store.byUid(uid);
  }

  /** An index kept up to date: `keysOf` gives the keys of an object. */
  index(keysOf: (object: T) => readonly string[]): ObjectIndex<T> {
    return this.#store.index(keysOf);
  }

  /**
   * Calls `listener` for each change from now on, after the cache has it. What it throws is logged and counted, and
   * keeps nobody else from hearing.
   */
  onChange(listener: (change: Change<T>) => void): Disposable {
    // Wrapped: the same function may be given twice.
    const own = (change: Change<T>): unknown => listener(change);
    this.#listeners.add(own);
    return { [Symbol.dispose]: () => void this.#listeners.delete(own) };
  }

  /** Why the cache may be behind, for a health check; null when all is well. */
  check(): string | null {
    const { kind } = this.#kind;
    if (!this.#isServed) return `${kind}: the API server does not know this kind`;
    const reason = this.#away?.reason ?? 'the first list is not there yet';
    if (!this.#isSynced) return `${kind}: ${reason}`;
    if (this.#away === null) return null;
    const awayMs = this.#options.clock.monotonicMs() - this.#away.since;
    return awayMs < tolerableAwayMs ? null : `${kind}: not watched for ${Math.round(awayMs / 1000)} s: ${reason}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort(new Error('the informer is closed'));
    await this.#ended;
  }

  async #run(): Promise<void> {
    let reason: ListReason = 'start';
    while (!this.#ending.signal.aborted) {
      try {
        const version = await this.#fill(reason);
        reason = await this.#follow(version);
      } catch (error) {
        if (this.#ending.signal.aborted) return;
        await this.#rest(this.#listFailed(error));
      }
    }
  }

  /** Lists. Gives the version that the cache has then. */
  async #fill(reason: ListReason): Promise<string> {
    const { client, type, metrics } = this.#options;
    const list = await client.list(type, this.#options, { signal: this.#ending.signal });
    metrics.informerLists.inc({ ...this.#kind, reason });
    if (!this.#isServed) this.#logger.info({ event: 'kube.informer.served' }, 'The API server knows the kind now');
    this.#isServed = true;
    this.#listBackoff.reset();
    this.#missingBackoff.reset();
    for (const object of list.items) this.#shared.share(object);
    for (const changes of this.#store.replace(list.items)) this.#tell(changes);
    this.#heard();
    metrics.informerObjects.set(this.#kind, this.#store.size);
    if (!this.#isSynced) {
      this.#isSynced = true;
      metrics.informerSynced.set(this.#kind, 1);
      this.#logger.debug({ event: 'kube.informer.synced', objects: this.#store.size });
      this.#setSynced();
    }
    return list.resourceVersion;
  }

  /** Milliseconds to wait before the next list. */
  #listFailed(error: unknown): number {
    if (isNotFound(error)) {
      if (this.#isServed) {
        this.#logger.warn(
          { event: 'kube.informer.missing' },
          'The API server does not know the kind: is its CRD there?',
        );
      }
      this.#isServed = false;
      this.#gone('the API server does not know this kind');
      return this.#missingBackoff.next();
    }
    const { message } = error as Error;
    // A right that is missing stays missing: said once, not with every try.
    const level = this.#away?.reason === message ? 'debug' : 'warn';
    this.#gone(message);
    this.#logger[level]({ event: 'kube.informer.list.failed', err: error });
    return this.#listBackoff.next();
  }

  /** Watches, again and again, from where the last watch ended. Returns why only a new list can help. */
  async #follow(from: string): Promise<ListReason> {
    const backoff = new Backoff(firstWaitMs, longestWaitMs);
    let version = from;
    while (!this.#ending.signal.aborted) {
      const startedAt = this.#options.clock.monotonicMs();
      let failure: unknown = null;
      try {
        for await (const next of this.#watch(version)) {
          version = next;
          backoff.reset();
        }
      } catch (error) {
        failure = error;
      }
      if (this.#ending.signal.aborted) break;
      this.#countWatch(failure);
      if (isExpired(failure)) return 'expired';
      const wasShort = this.#options.clock.monotonicMs() - startedAt < shortWatchMs;
      if (failure === null && !wasShort) continue;
      if (failure !== null) {
        this.#gone((failure as Error).message);
        this.#logger.debug({ event: 'kube.informer.watch.failed', err: failure });
        if (isNotFound(failure) || backoff.failures >= failuresBeforeList) return 'failed';
      }
      await this.#rest(backoff.next());
    }
    return 'start';
  }

  /** One watch; yields each version that the cache has reached. */
  async *#watch(resourceVersion: string): AsyncGenerator<string> {
    const { client, type, metrics, idleMs } = this.#options;
    const span = longestWatchSeconds - shortestWatchSeconds;
    const timeoutSeconds = shortestWatchSeconds + Math.floor(Math.random() * span);
    const { signal } = this.#ending;
    const options = { ...this.#options, resourceVersion, timeoutSeconds, signal };
    for await (const event of client.watch(type, idleMs === undefined ? options : { ...options, idleMs })) {
      this.#heard();
      if (event.type === 'BOOKMARK') {
        yield event.resourceVersion;
        continue;
      }
      const object = this.#shared.share(withoutManagedFields(event.object));
      this.#tell(event.type === 'DELETED' ? this.#store.remove(object) : this.#store.put(object));
      metrics.informerObjects.set(this.#kind, this.#store.size);
      yield object.metadata.resourceVersion;
    }
  }

  #tell(changes: readonly Change<T>[]): void {
    for (const change of changes) {
      for (const listener of this.#listeners) {
        try {
          const result = listener(change);
          if (result instanceof Promise) result.catch((error: unknown) => this.#listenerFailed(error, change));
        } catch (error) {
          this.#listenerFailed(error, change);
        }
      }
    }
  }

  #listenerFailed(error: unknown, change: Change<T>): void {
    this.#options.metrics.informerHandlerFailures.inc(this.#kind);
    const key = keyOf(change.object.metadata);
    this.#logger.error({ event: 'kube.informer.listener.failed', key, change: change.kind, err: error });
  }

  #heard(): void {
    this.#away = null;
    this.#options.metrics.informerHeard.set(this.#kind, this.#options.clock.now().getTime() / 1000);
  }

  #gone(reason: string): void {
    this.#away = { since: this.#away?.since ?? this.#options.clock.monotonicMs(), reason };
  }

  #countWatch(failure: unknown): void {
    let reason = 'failed';
    if (failure === null) reason = 'closed';
    else if (isExpired(failure)) reason = 'expired';
    else if (failure instanceof KubeError && failure.reason === 'Idle') reason = 'idle';
    this.#options.metrics.informerWatches.inc({ ...this.#kind, reason });
  }

  async #rest(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.#ending.signal }).catch(() => undefined); // The loop sees that it ends.
  }
}
