/** When a resource is Ready: which of its conditions count, and which of them is named first. */
import type { Condition, ConditionReport } from './condition.ts';

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

/** The summary: the first condition that does not hold, else True. `generation` is the oldest that one was judged by. */
export function summarise(
  kind: string,
  conditions: readonly Condition[],
): { readonly ready: ConditionReport; readonly generation: number } {
  const types = counting[kind] ?? ['Accepted', 'Synced'];
  const byType = new Map(conditions.map((condition) => [condition.type, condition]));
  const found = types.flatMap((type) => byType.get(type) ?? []);
  const isComplete = found.length === types.length;
  const generation = isComplete ? Math.min(...found.map((each) => each.observedGeneration)) : 0;
  const ready = (status: 'True' | 'False' | 'Unknown', reason: string, message: string) => ({
    ready: { type: 'Ready', status, reason, message },
    generation,
  });
  const going = byType.get(deleting);
  if (going?.status === 'True') return ready('False', going.reason, going.message);
  const failing = types.flatMap((type) => byType.get(type) ?? []).find(({ status }) => status !== 'True');
  if (failing) return ready(failing.status, failing.reason, failing.message);
  const missing = types.find((type) => !byType.has(type));
  if (missing !== undefined) return ready('Unknown', 'Pending', `${missing} has not been looked at yet`);
  return ready('True', 'Ready', '');
}
