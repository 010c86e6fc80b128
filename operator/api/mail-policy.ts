// Made from crds/mailpolicies.yaml by tools/generate-api-types.ts; change it there.

import type { KubeObject, ResourceType } from '#operator/kube/resource.ts';
import type { Condition } from './condition.ts';

/** What the policy is to be. */
export type MailPolicySpec = {
  /**
   * The largest message that is taken, such as 25Mi. Without it, and where it is larger, the server's own limit
   * holds.
   */
  readonly maxMessageSize?: string;
  /** With true, mail that comes from other systems without TLS is refused. */
  readonly requireInboundTLS: boolean;
};

/** How the policy is, as the operator sees it. */
export type MailPolicyStatus = {
  /**
   * metadata.generation that this status is about. A smaller number than metadata.generation means that the newest
   * spec has not been looked at yet.
   */
  readonly observedGeneration?: number;
  /** What is so, one entry a type. Ready sums the others up. */
  readonly conditions?: readonly Condition[];
  /** How many MailDomains name it. */
  readonly attachedDomains?: number;
};

/** What is asked of mail that comes in for the domains which name the policy in spec.policyRef. */
export type MailPolicy = KubeObject & { readonly spec: MailPolicySpec; readonly status?: MailPolicyStatus };

export const mailPolicies: ResourceType<MailPolicy> = {
  group: 'postrider.dev',
  version: 'v1alpha1',
  plural: 'mailpolicies',
  kind: 'MailPolicy',
  isNamespaced: true,
};
