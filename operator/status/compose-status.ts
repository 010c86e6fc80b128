/** A status made of what the parts of the operator report. Pure: the same reports on the same status change nothing. */
import type { Condition, ConditionReport, PartReport, ResourceStatus } from './condition.ts';
import { findCondition } from './condition.ts';
import { summarise } from './readiness.ts';
import { sameJson } from './same-json.ts';

/**
 * `current` is what the API server has: what no part has reported since the start of the program stays as it is there.
 * The same object comes back where nothing is different.
 */
export function composeStatus(
  kind: string,
  current: ResourceStatus | undefined,
  parts: Iterable<PartReport>,
  now: Date,
): ResourceStatus {
  const fields: Record<string, unknown> = { ...current };
  const conditions = new Map((current?.conditions ?? []).map((condition) => [condition.type, condition]));
  for (const part of parts) {
    for (const type of part.without ?? []) conditions.delete(type);
    for (const report of part.conditions) conditions.set(report.type, settle(report, part.generation, current, now));
    Object.assign(fields, part.fields);
  }
  conditions.delete('Ready');
  const { ready, readyGeneration, generation } = summarise(kind, [...conditions.values()]);
  const all = [...conditions.values()].toSorted((a, b) => (a.type < b.type ? -1 : 1));
  const status: ResourceStatus = {
    ...withoutUndefined(fields),
    observedGeneration: generation,
    conditions: [settle(ready, readyGeneration, current, now), ...all],
  };
  return current !== undefined && isSame(status, current) ? current : status;
}

/** `lastTransitionTime` moves only together with `status`. */
function settle(
  report: ConditionReport,
  generation: number,
  current: ResourceStatus | undefined,
  now: Date,
): Condition {
  const before = findCondition(current, report.type);
  const { type, status, reason, message } = report;
  const since = before?.status === status ? before.lastTransitionTime : wholeSeconds(now);
  return { type, status, reason, message, observedGeneration: generation, lastTransitionTime: since };
}

/** metav1.Time has no fractions. */
function wholeSeconds(now: Date): string {
  return `${now.toISOString().slice(0, 19)}Z`;
}

function withoutUndefined(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const kept: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) if (value !== undefined) kept[name] = value;
  return kept;
}

/** Without regard to the order of conditions, which the API server keeps but nobody relies on. */
function isSame(a: ResourceStatus, b: ResourceStatus): boolean {
  return sameJson(a, b) || sameJson(plain(a), plain(b));
}

function plain(status: ResourceStatus): ResourceStatus {
  const conditions = (status.conditions ?? []).toSorted((a, b) => (a.type < b.type ? -1 : 1));
  return { ...status, conditions };
}
