// Made from crds/ by tools/generate-api-types.ts; change it there.

/** metav1.Condition */
export type Condition = {
  /** What the statement is about, such as Ready or Synced. */
  readonly type: string;
  /** Whether it holds; Unknown where nobody could tell. */
  readonly status: 'True' | 'False' | 'Unknown';
  /** Why, in one word for programs. */
  readonly reason: string;
  /** Why, for people. May be empty. */
  readonly message: string;
  /** metadata.generation that the statement is about. */
  readonly observedGeneration: number;
  /** When status last changed. */
  readonly lastTransitionTime: string;
};
