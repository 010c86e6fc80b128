/** What servers found when they tried a route's targets, as the condition Reachable and fields of the status. Pure. */
import type { ConditionReport } from '#operator/status/condition.ts';

/** As servers write it (mail_route_probe.targets); a newer one may write more. */
export type FoundTarget = {
  readonly target: string;
  readonly state: 'Reachable' | 'Unreachable' | 'NotProbed';
  readonly reason: string;
  readonly message: string;
  readonly latencyMs: number | null;
};

const type = 'Reachable';
const mostMessageCharacters = 500;

/** One way that works will do; the others are told all the same. */
export function reachableCondition(targets: readonly FoundTarget[]): ConditionReport {
  const failed = targets.filter(({ state }) => state === 'Unreachable');
  const [first] = failed;
  if (!first) {
    if (targets.some(({ state }) => state === 'Reachable')) return { type, status: 'True', reason: type, message: '' };
    const message = [...new Set(targets.map((each) => each.message))].join('; ');
    return { type, status: 'Unknown', reason: 'NotProbed', message };
  }
  const message = failed
    .map((each) => `${each.target}: ${each.message}`)
    .join('; ')
    .slice(0, mostMessageCharacters);
  return failed.length === targets.length
    ? { type, status: 'False', reason: first.reason, message }
    : { type, status: 'True', reason: 'PartlyReachable', message };
}

export function targetStatuses(targets: readonly FoundTarget[], probedAt: Date) {
  return targets.map(({ target, state, message, latencyMs }) => ({
    target,
    state,
    ...(message !== '' && { message }),
    ...(latencyMs !== null && { latencyMs, probedAt: `${probedAt.toISOString().slice(0, 19)}Z` }),
  }));
}
