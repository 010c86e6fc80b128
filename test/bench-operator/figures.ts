/** What the bench of the operator measures, and what each figure is to reach, as data. */

export type FigureName =
  | 'apply-to-login'
  | 'all-ready'
  | 'restart'
  | 'restart-writes'
  | 'leader-kill'
  | 'leader-stop'
  | 'secret-rotation'
  | 'row-repair'
  | 'memory'
  | 'idle-requests';

export type Figure = {
  readonly name: FigureName;
  readonly title: string;
  readonly unit: 's' | 'MB' | 'writes' | 'requests/s';
  /** At most; less is better in all of them. */
  readonly aim: number;
};

/** Which of several samples is the figure: the 99th of a hundred, or the worst. */
export type Sampled = { readonly samples: readonly number[]; readonly of: 'p99' | 'max' };

export const figures: readonly Figure[] = [
  { name: 'all-ready', title: 'all mailboxes applied → all Ready', unit: 's', aim: 120 },
  { name: 'apply-to-login', title: 'Mailbox applied → login works, p99', unit: 's', aim: 2 },
  { name: 'secret-rotation', title: 'Secret changed → old password refused, worst', unit: 's', aim: 5 },
  { name: 'row-repair', title: 'row tampered with → put right, worst', unit: 's', aim: 5 },
  { name: 'idle-requests', title: 'requests to the API server when idle', unit: 'requests/s', aim: 1 },
  { name: 'restart', title: 'restart over all of it → compared and at work', unit: 's', aim: 10 },
  { name: 'restart-writes', title: 'writes of that restart, in Postgres and Kubernetes', unit: 'writes', aim: 0 },
  { name: 'leader-kill', title: 'leader killed → another has followed a change', unit: 's', aim: 20 },
  { name: 'leader-stop', title: 'leader stopped → another has followed a change', unit: 's', aim: 3 },
  { name: 'memory', title: 'memory of the operator (RSS), most', unit: 'MB', aim: 250 },
];

export function worst({ samples, of }: Sampled): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = of === 'max' ? sorted.length - 1 : Math.ceil(sorted.length * 0.99) - 1;
  return sorted[at] ?? Number.NaN;
}
