/** The metrics of several processes as one: what a scrape shows never goes back because a process ended. */
import { AggregatorRegistry, type Registry } from 'prom-client';
import type { MetricSnapshot } from './messages.ts';

/** prom-client's declarations call the types of metrics by number, its snapshots by name. */
const isCounted = (type: unknown): boolean => type === 'counter' || type === 'histogram';

export class MergedMetrics {
  /** What processes counted that have ended. */
  #ended: Promise<MetricSnapshot> = Promise.resolve([]);

  /** Takes the last figures of a process that is gone: counters stay, gauges went with it. */
  retire(last: MetricSnapshot): void {
    const counted = last.filter(({ type }) => isCounted(type));
    this.#ended = this.#ended.then((ended) => merge([ended, counted]).getMetricsAsJSON());
  }

  /** What `/metrics` prints: the figures of the processes that run, and what was counted by those that ended. */
  async print(running: readonly MetricSnapshot[]): Promise<string> {
    return merge([...running, await this.#ended]).metrics();
  }
}

function merge(snapshots: readonly MetricSnapshot[]): Registry {
  return AggregatorRegistry.aggregate(snapshots.map((snapshot) => [...snapshot]));
}
