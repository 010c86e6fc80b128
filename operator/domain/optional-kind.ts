/** Kinds of others (cert-manager, external-dns) that a cluster may have, get later, or never have. */
import type { Clock } from '#shared/base/clock.ts';
import type { KubeMetrics } from '#shared/observe/kube-metrics.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { Informer } from '#operator/kube/informer.ts';
import type { KubeObject, ResourceType } from '#operator/kube/resource.ts';

export type OptionalKindOptions = {
  readonly client: KubeClient;
  /** False: the configuration says not to look. */
  readonly isEnabled: boolean;
  /** Those watched; empty: all. */
  readonly namespaces: readonly string[];
  readonly logger: Logger;
  readonly metrics: KubeMetrics;
  readonly clock: Clock;
};

/** `starting`: nothing was learnt yet. `unreadable`: the operator has no right to it. `off`: nobody looks. */
export type Presence = 'served' | 'missing' | 'starting' | 'unreadable' | 'off';

/** What was not to be had for so long is not to be had. */
const startMs = 5_000;

export class OptionalKind<T extends KubeObject> implements AsyncDisposable {
  readonly type: ResourceType<T>;
  readonly #informers: readonly Informer<T>[];
  readonly #clock: Clock;
  readonly #sinceMs: number;

  /** Objects with the label `managedLabel` alone: others' are none of our business. */
  constructor(type: ResourceType<T>, labelSelector: string, options: OptionalKindOptions) {
    this.type = type;
    const { namespaces, isEnabled, clock } = options;
    this.#clock = clock;
    this.#sinceMs = clock.monotonicMs();
    const within = namespaces.length === 0 ? [{}] : namespaces.map((namespace) => ({ namespace }));
    this.#informers = (isEnabled ? within : []).map((where) => {
      return Informer.open({ ...options, type, labelSelector, ...where });
    });
  }

  get presence(): Presence {
    if (this.#informers.length === 0) return 'off';
    if (this.#informers.some(({ isServed }) => !isServed)) return 'missing';
    if (this.#informers.every(({ isSynced }) => isSynced)) return 'served';
    return this.#clock.monotonicMs() - this.#sinceMs < startMs ? 'starting' : 'unreadable';
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
