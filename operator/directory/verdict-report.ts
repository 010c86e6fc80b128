/** What a comparison of resources and rows found out, as conditions and fields of a status. Pure. */
import { formatQuantity } from '#shared/provisioning/quantity.ts';
import type { ResourceFault, ResourceRef } from '#shared/provisioning/fault.ts';
import type { Verdict } from '#shared/reconcile/verdict.ts';
import type { ConditionReport, PartReport } from '#operator/status/condition.ts';

/** What went wrong while a resource's row or password was written. */
export type WriteFailure = {
  readonly condition: 'Synced' | 'CredentialsReady';
  readonly reason: string;
  readonly message: string;
  /** It was no fault of the resource: the same again may do in a moment. */
  readonly isPassing: boolean;
};

export type Findings = {
  readonly verdict: Verdict;
  readonly generation: number;
  readonly failure: WriteFailure | null;
  /** Its annotation says that nothing is to be changed. */
  readonly isPaused: boolean;
  /** Further fields, such as which password is in force. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** In place of Synced: what is so of the whole installation. */
  readonly installation: ConditionReport | null;
};

/** Faults of one condition are told together, so many of them at most. */
const mostMessages = 3;

/** The conditions that a resource of each kind has from here beside Accepted and Synced. */
const more: Readonly<Record<string, readonly string[]>> = {
  Mailbox: ['CredentialsReady'],
  MailCredential: ['CredentialsReady'],
  MailAlias: ['Resolved'],
};

/** The others stay as they were when it was paused. */
const pausedCondition: ConditionReport = {
  type: 'Paused',
  status: 'True',
  reason: 'Paused',
  message: 'postrider.dev/paused says that nothing is to be changed',
};

/** Those that are there only while they have something to tell. */
const passing: readonly string[] = ['Deleting', 'Paused', 'Resolved'];

/** What holds of nearly all resources is one object for them all: there may be tens of thousands. */
const holding = new Map(
  ['Accepted', 'Synced', 'CredentialsReady', 'Resolved'].map((type): readonly [string, ConditionReport] => [
    type,
    { type, status: 'True', reason: type, message: '' },
  ]),
);

/** All of them, by kind. */
const allHolding = new Map<string, readonly ConditionReport[]>();

/** The same list for all of which the same holds. */
function shared(kind: string, conditions: readonly ConditionReport[]): readonly ConditionReport[] {
  if (!conditions.every((condition) => holding.get(condition.type) === condition)) return conditions;
  const known = allHolding.get(kind);
  if (known?.length === conditions.length) return known;
  allHolding.set(kind, conditions);
  return conditions;
}

/** As a status has them, by the MailDomain: one for all of its Mailboxes. */
const domainRefs = new WeakMap<ResourceRef, { readonly namespace: string; readonly name: string }>();

function domainRefOf(domain: ResourceRef): { readonly namespace: string; readonly name: string } {
  const ref = domainRefs.get(domain) ?? { namespace: domain.namespace, name: domain.name };
  domainRefs.set(domain, ref);
  return ref;
}

export function reportOf(findings: Findings): PartReport {
  const { verdict, generation, fields } = findings;
  if (findings.isPaused) return { generation, conditions: [pausedCondition] };
  const types = ['Accepted', 'Synced', ...(more[verdict.ref.kind] ?? [])];
  const conditions = [
    ...types.map((type) => conditionOf(type, findings)),
    ...passing.flatMap((type) => (types.includes(type) ? [] : (passingCondition(type, findings) ?? []))),
  ];
  const absent = passing.filter((type) => conditions.every((condition) => condition.type !== type));
  return {
    generation,
    conditions: shared(verdict.ref.kind, conditions),
    without: absent.length === passing.length ? passing : absent,
    fields: { ...fieldsOf(verdict), ...fields },
  };
}

function conditionOf(type: string, findings: Findings): ConditionReport {
  const { verdict, failure, installation } = findings;
  const faults = verdict.faults.filter((fault) => fault.condition === type);
  if (faults.length > 0) return failing(type, faults);
  if (failure?.condition === type) return { type, status: 'False', reason: failure.reason, message: failure.message };
  if (type === 'Synced') {
    if (installation) return installation;
    const fault = verdict.faults.find(({ isHolding }) => isHolding);
    if (fault) return { type, status: 'False', reason: fault.reason, message: 'the directory keeps what it had' };
  }
  if (type === 'CredentialsReady' && verdict.row === null) {
    return { type, status: 'Unknown', reason: 'NotSynced', message: 'it has no row yet that could have a password' };
  }
  return holding.get(type) ?? { type, status: 'True', reason: type, message: '' };
}

function passingCondition(type: string, { verdict }: Findings): ConditionReport | null {
  switch (type) {
    case 'Deleting': {
      const { deletion } = verdict;
      if (deletion?.state !== 'blocked') return null;
      return { type, status: 'True', reason: deletion.reason, message: deletion.message };
    }
    default: {
      const faults = verdict.faults.filter((fault) => fault.condition === type);
      return faults.length > 0 ? failing(type, faults) : null;
    }
  }
}

function failing(type: string, faults: readonly ResourceFault[]): ConditionReport {
  const messages = [...new Set(faults.map(({ message }) => message))];
  const left = messages.length - mostMessages;
  const message = messages.slice(0, mostMessages).join('; ') + (left > 0 ? `; and ${left} more` : '');
  return { type, status: 'False', reason: faults[0]?.reason ?? 'Failed', message };
}

function fieldsOf({ facts, row }: Verdict): Readonly<Record<string, unknown>> {
  switch (facts.kind) {
    case 'MailDomain':
      return { mailboxes: facts.mailboxes, domainId: row?.id };
    case 'Mailbox': {
      const { domain, quotaBytes, secretName } = facts;
      return {
        accountId: row?.id,
        domainRef: domain ? domainRefOf(domain) : undefined,
        credentialsSecret: secretName,
        quota: quotaBytes === null ? undefined : formatQuantity(quotaBytes),
      };
    }
    case 'MailAlias':
      return { resolvedMembers: facts.resolvedMembers };
    case 'MailCredential':
      return {
        secretName: facts.secretName,
        username: facts.username,
        rotatedAt: timeOf(facts.passwordSince),
        expiresAt: timeOf(facts.rotationDueAt),
        previousValidUntil: timeOf(facts.previousUntil),
      };
    default:
      return {};
  }
}

/** RFC 3339 in whole seconds. */
function timeOf(date: Date | null): string | undefined {
  return date === null ? undefined : `${date.toISOString().slice(0, 19)}Z`;
}
