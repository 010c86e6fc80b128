import type { Condition, ResourceStatus } from './condition.ts';
import { findCondition } from './condition.ts';

/** What people are told of in an Event. */
export type Transition = { readonly type: 'Normal' | 'Warning'; readonly reason: string; readonly message: string };

/**
 * What became worse or well again between two statuses of a resource. `Ready` repeats another condition, so it is left
 * out; a condition that begins well is nothing to tell.
 */
export function transitions(before: ResourceStatus | undefined, after: ResourceStatus): readonly Transition[] {
  return (after.conditions ?? []).flatMap((condition) => {
    if (condition.type === 'Ready') return [];
    const was = findCondition(before, condition.type);
    return describe(was, condition) ?? [];
  });
}

function describe(was: Condition | undefined, is: Condition): Transition | null {
  const { type, status, reason, message } = is;
  // A resource that goes is no trouble; what holds it up is.
  const isTrouble = status === 'False' || (status === 'True' && type === 'Deleting');
  const wasTold = was?.status === status && was.reason === reason;
  if (isTrouble) return wasTold ? null : { type: 'Warning', reason, message: message || `${type} is ${status}` };
  if (status === 'Unknown' || was === undefined || was.status === 'True') return null;
  if (was.status === 'Unknown' && reason === was.reason) return null;
  return { type: 'Normal', reason, message: message || `${type} again, after ${was.reason}` };
}
