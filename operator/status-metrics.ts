import type { OperatorMetrics } from '#shared/observe/operator-metrics.ts';
import type { StatusBoard } from './status/status-board.ts';

/** At a look at the metrics: how many resources are how. Null: another process leads, and counts. */
export function showStatuses(
  board: StatusBoard | null,
  metrics: Pick<OperatorMetrics, 'objects' | 'objectReady'>,
): void {
  metrics.objects.reset();
  metrics.objectReady.reset();
  if (board === null) return;
  for (const { kind, ready, reason, count } of board.counts()) metrics.objects.set({ kind, ready, reason }, count);
  for (const { ref, isReady } of board.readiness(['MailServer', 'MailDomain'])) {
    const { kind, namespace = '', name } = ref;
    metrics.objectReady.set({ kind, resource_namespace: namespace, name }, isReady ? 1 : 0);
  }
}
