/** Kinds of others (cert-manager, external-dns) that a cluster may have, get later, or never have. */
import type { Clock } from '#shared/base/clock.ts';
import type { KubeMetrics } from '#shared/observe/kube-metrics.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { Informer } from '#operator/kube/informer.ts';
import type { KubeObject, ResourceType } from '#operator/kube/resource.ts';

export type OptionalKindOptions = {
  readonly client: KubeClient;
  /** Those watched; empty: all. */
  readonly namespaces: readonly string[];
  readonly logger: Logger;
  readonly metrics: KubeMetrics;
  readonly clock: Clock;
};

/** `unreadable`: nothing could be learnt yet, or the operator has no right to it. */
export type Presence = 'served' | 'missing' | 'unreadable';

export class OptionalKind<T extends KubeObject> implements AsyncDisposable {
  readonly type: ResourceType<T>;
  readonly #informers: readonly Informer<T>[];

  /** Objects with the label `managedLabel` alone: others' are none of our business. */
  constructor(type: ResourceType<T>, labelSelector: string, options: OptionalKindOptions) {
    this.type = type;
    const { namespaces } = options;
    const within = namespaces.length === 0 ? [{}] : namespaces.map((namespace) => ({ namespace }));
    this.#informers = within.map((where) => Informer.open({ ...options, type, labelSelector, ...where }));
  }

  get presence(): Presence {
    if (this.#informers.some(({ isServed }) => !isServed)) return 'missing';
    return this.#informers.every(({ isSynced }) => isSynced) ? 'served' : 'unreadable';
  }

  get(namespace: string, name: string): T | undefined {
    for (const informer of this.#informers) {
      const found = informer.get(namespace, name);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  onChange(listener: (object: T) => void): void {
    for (const informer of this.#informers) informer.onChange(({ object }) => listener(object));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#informers.map((informer) => informer[Symbol.asyncDispose]()));
  }
}
