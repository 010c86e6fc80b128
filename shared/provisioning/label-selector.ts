/** A LabelSelector of Kubernetes (meta/v1): all its requirements must hold; an empty one selects everything. */
import { z } from 'zod';
import { unreachable } from '#shared/base/unreachable.ts';

const requirement = z
  .strictObject({
    key: z.string().min(1).max(317),
    operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist'], 'must be In, NotIn, Exists or DoesNotExist'),
    values: z.array(z.string().max(63)).max(64).default([]),
  })
  .refine(({ operator, values }) => (operator === 'In' || operator === 'NotIn') === values.length > 0, {
    path: ['values'],
    error: 'are needed with In and NotIn, and have no place with Exists and DoesNotExist',
  });

const labelSelector = z.strictObject({
  matchLabels: z.record(z.string(), z.string().max(63)).default({}),
  matchExpressions: z.array(requirement).max(64).default([]),
});

/** Of a MailDomain and a MailServer: from where it may be named. */
export const allowedNamespaces = z
  .strictObject({
    from: z.enum(['Same', 'All', 'Selector'], 'must be Same, All or Selector').default('Same'),
    selector: labelSelector.optional(),
  })
  .default({ from: 'Same' })
  .refine(({ from, selector }) => (from === 'Selector') === (selector !== undefined), {
    path: ['selector'],
    error: 'is needed with from: Selector, and has no place without it',
  });

export type LabelSelector = z.output<typeof labelSelector>;
export type Labels = Readonly<Record<string, string>>;

export function selects({ matchLabels, matchExpressions }: LabelSelector, labels: Labels): boolean {
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every((expression) => holds(expression, labels))
  );
}

function holds({ key, operator, values }: LabelSelector['matchExpressions'][number], labels: Labels): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    default:
      return unreachable(operator);
  }
}
