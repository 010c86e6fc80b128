/** When a resource is Ready: which of its conditions count, and which of them is named first. */
import type { Condition, ConditionReport, ConditionStatus } from './condition.ts';

/**
 * In the order in which they are named. What else a resource has (DNSReady, WithinQuota, Reachable, OutboundPort25 and
 * the like) informs and does not count: mail flows without it, or nobody here can mend it.
 */
const counting: Readonly<Record<string, readonly string[]>> = {
  MailServer: ['Accepted', 'Synced', 'SchemaCurrent', 'CertificateReady', 'Available'],
  MailDomain: ['Accepted', 'Synced', 'DKIMReady', 'CertificateReady'],
  Mailbox: ['Accepted', 'Synced', 'CredentialsReady'],
  MailAlias: ['Accepted', 'Synced', 'Resolved'],
  MailCredential: ['Accepted', 'Synced', 'CredentialsReady'],
  MailRoute: ['Accepted', 'Synced'],
  MailPolicy: ['Accepted', 'Synced'],
};

/** Of a resource that is being deleted; it is named before everything else. */
const deleting = 'Deleting';

export type Summary = {
  readonly ready: ConditionReport;
  /** That `ready` was judged by: of the condition that fails, or the oldest of all. */
  readonly readyGeneration: number;
  /** The oldest that one of what counts was judged by; 0: not all of it was. */
  readonly generation: number;
};

/** The first condition that does not hold, else True. */
export function summarise(kind: string, conditions: readonly Condition[]): Summary {
  const types = counting[kind] ?? ['Accepted', 'Synced'];
  const byType = new Map(conditions.map((condition) => [condition.type, condition]));
  const found = types.flatMap((type) => byType.get(type) ?? []);
  const isComplete = found.length === types.length;
  const generation = isComplete ? Math.min(...found.map((each) => each.observedGeneration)) : 0;
  const ready = (status: ConditionStatus, { reason, message }: Reason, readyGeneration = generation): Summary => ({
    ready: { type: 'Ready', status, reason, message },
    readyGeneration,
    generation,
  });
  const going = byType.get(deleting);
  if (going?.status === 'True') return ready('False', going, going.observedGeneration);
  const failing = found.find(({ status }) => status !== 'True');
  if (failing) return ready(failing.status, failing, failing.observedGeneration);
  const missing = types.find((type) => !byType.has(type));
  if (missing !== undefined) {
    return ready('Unknown', { reason: 'Pending', message: `${missing} has not been looked at yet` });
  }
  return ready('True', { reason: 'Ready', message: '' });
}

type Reason = Pick<ConditionReport, 'reason' | 'message'>;
