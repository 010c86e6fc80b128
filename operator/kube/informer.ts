/** A cache of all objects of a kind, kept as the API server has them. */
import type { Clock } from '#shared/base/clock.ts';
import type { KubeMetrics } from '#shared/observe/kube-metrics.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { KubeClient, Selection } from './client.ts';
import type { KubeObject, ResourceType } from './resource.ts';

export type Change<T extends KubeObject> =
  | { readonly kind: 'added'; readonly object: T }
  | { readonly kind: 'changed'; readonly object: T; readonly old: T }
  | { readonly kind: 'deleted'; readonly object: T };

export type InformerOptions<T extends KubeObject> = Selection & {
  readonly client: KubeClient;
  readonly type: ResourceType<T>;
  readonly logger: Logger;
  readonly metrics: KubeMetrics;
  readonly clock: Clock;
};

/** Objects by a key of the caller's choice. */
export interface ObjectIndex<T extends KubeObject> {
  get(key: string): readonly T[];
}

export class Informer<T extends KubeObject = KubeObject> implements AsyncDisposable {
  /** Begins at once; never fails: what cannot be read is tried again until `Symbol.asyncDispose`. */
  static open<T extends KubeObject>(options: InformerOptions<T>): Informer<T> {
    return new Informer(options);
  }

  readonly #options: InformerOptions<T>;

  private constructor(options: InformerOptions<T>) {
    this.#options = options;
  }

  /** Resolves when the cache was filled once and every listener heard of all of it. */
  get synced(): Promise<void> {
    throw new Error(`not yet: ${this.#options.type.kind}`);
  }

  get isSynced(): boolean {
    throw new Error('not yet');
  }

  /** False while the server does not know the kind (its CRD is missing); what the cache holds stays. */
  get isServed(): boolean {
    throw new Error('not yet');
  }

  /** All objects, in no order. The array is not changed afterwards. */
  items(): readonly T[] {
    throw new Error('not yet');
  }

  get(_namespace: string | undefined, _name: string): T | undefined {
    throw new Error('not yet');
  }

  byUid(_uid: string): T | undefined {
    throw new Error('not yet');
  }

  /** An index kept up to date: `keysOf` gives the keys of an object. */
  index(_keysOf: (object: T) => readonly string[]): ObjectIndex<T> {
    throw new Error('not yet');
  }

  /**
   * Calls `listener` for each change from now on, after the cache has it. What it throws is logged and counted, and
   * keeps nobody else from hearing.
   */
  onChange(_listener: (change: Change<T>) => void): Disposable {
    throw new Error('not yet');
  }

  /** Why the cache may be behind, for a health check; null when all is well. */
  check(): string | null {
    throw new Error('not yet');
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
