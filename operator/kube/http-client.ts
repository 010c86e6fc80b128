/** The KubeClient that speaks HTTP. */
import type { Clock } from '#shared/base/clock.ts';
import type { KubeMetrics } from '#shared/observe/kube-metrics.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { KubeClient } from './client.ts';
import type { KubeAccess } from './kube-config.ts';

export type HttpClientOptions = {
  readonly access: KubeAccess;
  /** Field manager and User-Agent: `postrider-operator`. */
  readonly name: string;
  readonly logger: Logger;
  readonly metrics: KubeMetrics;
  readonly clock: Clock;
  /** Connections besides those of watches; 8. */
  readonly connections?: number;
  /** Requests a second, and how many at once after a rest; 400 and 800. */
  readonly rate?: { readonly perSecond: number; readonly burst: number };
};

export function createKubeClient(_options: HttpClientOptions): KubeClient {
  throw new Error('not yet');
}
