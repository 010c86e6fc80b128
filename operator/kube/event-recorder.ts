/** Events of objects: what `kubectl describe` shows below them. Never needed for anything to work. */
import type { Clock } from '#shared/base/clock.ts';
import type { KubeMetrics } from '#shared/observe/kube-metrics.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { KubeClient } from './client.ts';
import type { ObjectRef } from './resource.ts';

export type EventNote = {
  readonly type: 'Normal' | 'Warning';
  /** CamelCase. */
  readonly reason: string;
  /** At most 1024 bytes; cut. */
  readonly message: string;
};

export type EventRecorderOptions = {
  readonly client: KubeClient;
  /** Who tells: `postrider-operator`. */
  readonly component: string;
  /** This process: the pod's name. */
  readonly instance: string;
  readonly logger: Logger;
  readonly metrics: KubeMetrics;
  readonly clock: Clock;
};

export class EventRecorder implements AsyncDisposable {
  constructor(_options: EventRecorderOptions) {}

  /** Returns at once; the event is written in the background, or dropped where an object has too many (25, then one in 5 min). */
  record(_about: ObjectRef, _note: EventNote): void {
    throw new Error('not yet');
  }

  /** Writes what waits, for at most 2 seconds. */
  async [Symbol.asyncDispose](): Promise<void> {}
}
