/** What a part of the operator found out about a resource; the board makes a condition of it. */
export type ConditionReport = {
  /** `Accepted`, `Synced`, …; never `Ready`, which the board works out. */
  readonly type: string;
  readonly status: ConditionStatus;
  /** CamelCase; docs/conditions.md has them all. */
  readonly reason: string;
  /** A sentence for people, without secrets or contents of mail. */
  readonly message: string;
};

export type ConditionStatus = 'True' | 'False' | 'Unknown';

/** metav1.Condition, as it stands in a status. */
export type Condition = ConditionReport & {
  readonly observedGeneration: number;
  /** RFC 3339, whole seconds: when `status` last changed. */
  readonly lastTransitionTime: string;
};

/** The status of any of our resources. */
export type ResourceStatus = {
  /** All that counts for Ready was looked at with this generation. */
  readonly observedGeneration?: number;
  readonly conditions?: readonly Condition[];
  readonly [field: string]: unknown;
};

/** What one part has to say at present; parts own different condition types and different fields. */
export type PartReport = {
  /** `metadata.generation` of the resource that was looked at. */
  readonly generation: number;
  readonly conditions: readonly ConditionReport[];
  /** Conditions of this part that do not hold at present and are taken away. */
  readonly without?: readonly string[];
  /** Fields of the status, as JSON has them; undefined takes one away. */
  readonly fields?: Readonly<Record<string, unknown>>;
};

export function findCondition(status: ResourceStatus | undefined, type: string): Condition | undefined {
  return status?.conditions?.find((condition) => condition.type === type);
}
