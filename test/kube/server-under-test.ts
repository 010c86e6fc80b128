/** What the contract of `operator/kube` runs on: a real API server, or the stand-in. */
import { Registry } from 'prom-client';
import { systemClock } from '#shared/base/clock.ts';
import { kubeMetricTable } from '#shared/observe/kube-metrics.ts';
import { silentLogger } from '#shared/observe/logger.ts';
import { createMetricsOf } from '#shared/observe/metric-table.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { namespaces } from '#operator/kube/core-resources.ts';
import { createKubeClient, type HttpClientOptions } from '#operator/kube/http-client.ts';
import { Informer, type InformerOptions } from '#operator/kube/informer.ts';
import type { KubeAccess } from '#operator/kube/kube-access.ts';
import type { KubeObject, ResourceType, Writable } from '#operator/kube/resource.ts';
import { startFaultProxy, type FaultProxy } from './fault-proxy.ts';

export interface ServerUnderTest extends AsyncDisposable {
  readonly access: KubeAccess;
  /** Ends as if killed, and comes back on the same address with what it had. */
  restart(): Promise<void>;
}

/** The kind that the contract works with: `testCrd` makes a server know it. */
export type Thing = KubeObject & {
  readonly spec: { readonly size?: number; readonly colour?: string };
  readonly status?: { readonly phase?: string; readonly conditions?: readonly unknown[] };
};

export const things: ResourceType<Thing> = {
  group: 'test.postrider.dev',
  version: 'v1',
  plural: 'things',
  kind: 'Thing',
  isNamespaced: true,
};

/** A definition of a kind like `Thing`. */
export function testCrd({ group, version, plural, kind }: ResourceType) {
  const text = { type: 'string', maxLength: 100 };
  const condition = {
    type: 'object',
    required: ['type', 'status'],
    properties: { type: text, status: text, reason: text },
  };
  const status = {
    type: 'object',
    properties: {
      phase: text,
      conditions: {
        type: 'array',
        items: condition,
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['type'],
      },
    },
  };
  const spec = { type: 'object', properties: { size: { type: 'integer' }, colour: text } };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      names: { plural, singular: kind.toLowerCase(), kind, listKind: `${kind}List` },
      scope: 'Namespaced' as const,
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          subresources: { status: {} },
          schema: { openAPIV3Schema: { type: 'object', properties: { spec, status } } },
        },
      ],
    },
  };
}

/** One test's own namespace, proxy and client. */
export class TestBed implements AsyncDisposable {
  readonly namespace: string;
  readonly proxy: FaultProxy;
  readonly options: Omit<HttpClientOptions, 'connections' | 'rate' | 'pageSize'>;
  /** Through the proxy. */
  readonly client: KubeClient;
  /** Not through the proxy: nothing happens to it. */
  readonly direct: KubeClient;
  readonly #owned = new AsyncDisposableStack();

  static async open(server: ServerUnderTest, more: Partial<HttpClientOptions> = {}): Promise<TestBed> {
    const bed = new TestBed(server, await startFaultProxy(server.access), more);
    const metadata = { name: bed.namespace };
    await bed.direct.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata });
    return bed;
  }

  private constructor(server: ServerUnderTest, proxy: FaultProxy, more: Partial<HttpClientOptions>) {
    this.namespace = `test-${Math.random().toString(36).slice(2, 12)}`;
    this.proxy = this.#owned.use(proxy);
    this.options = {
      access: proxy.access,
      name: 'postrider-test',
      logger: silentLogger,
      clock: systemClock,
      metrics: createMetricsOf(kubeMetricTable, new Registry()),
      ...more,
    };
    this.client = this.#owned.use(createKubeClient(this.options));
    this.direct = this.#owned.use(createKubeClient({ ...this.options, access: server.access }));
  }

  /** Disposed of with the bed, before its client. */
  use<T extends AsyncDisposable>(owned: T): T {
    return this.#owned.use(owned);
  }

  informer(more: Partial<InformerOptions<Thing>> = {}): Informer<Thing> {
    const { client, namespace, options } = this;
    return this.use(Informer.open<Thing>({ ...options, client, type: things, namespace, ...more }));
  }

  /** A thing to create or apply. */
  thing(name: string, spec: Thing['spec'] = {}, labels?: Readonly<Record<string, string>>): Writable<Thing> {
    return {
      apiVersion: 'test.postrider.dev/v1',
      kind: 'Thing',
      metadata: { name, namespace: this.namespace, ...(labels && { labels }) },
      spec,
    };
  }

  at(name: string): { readonly namespace: string; readonly name: string } {
    return { namespace: this.namespace, name };
  }

  /** The value of a counter or gauge for one set of labels. */
  async metric(name: keyof typeof kubeMetricTable, labels: Readonly<Record<string, string>>): Promise<number> {
    const { values } = await this.options.metrics[name].get();
    const matching = values.filter((value) =>
      Object.entries(labels).every(([label, text]) => (value.labels as Record<string, unknown>)[label] === text),
    );
    return matching.reduce((sum, { value }) => sum + value, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }
}
