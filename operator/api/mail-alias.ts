// Made from crds/mailaliases.yaml by tools/generate-api-types.ts; change it there.

import type { KubeObject, ResourceType } from '#operator/kube/resource.ts';
import type { Condition } from './condition.ts';

/** What the alias is to be. */
export type MailAliasSpec = {
  /**
   * The alias's own address. Its domain must be that of a MailDomain which lets this namespace in. It can't be
   * changed.
   */
  readonly address: string;
  /** Who gets a copy each. Other aliases too, up to eight deep. */
  readonly members: readonly string[];
  /** Whether members may be at domains elsewhere, to which the mail is sent on. */
  readonly allowExternalMembers: boolean;
  /**
   * Whether accounts among the members may send with the alias's address. That of an alias with one member may
   * anyway.
   */
  readonly sendAs: boolean;
  /**
   * What becomes of the alias when the resource is deleted. Retain refuses its mail and keeps the address from
   * others, until a resource with the same address comes back. Orphan leaves it in use, without a resource. Delete
   * removes it.
   */
  readonly deletionPolicy: 'Retain' | 'Orphan' | 'Delete';
};

/** How the alias is, as the operator sees it. */
export type MailAliasStatus = {
  /**
   * metadata.generation that this status is about. A smaller number than metadata.generation means that the newest
   * spec has not been looked at yet.
   */
  readonly observedGeneration?: number;
  /** What is so, one entry a type. Ready sums the others up. */
  readonly conditions?: readonly Condition[];
  /** How many members lead somewhere. */
  readonly resolvedMembers?: number;
};

/** An address whose mail goes to others. */
export type MailAlias = KubeObject & { readonly spec: MailAliasSpec; readonly status?: MailAliasStatus };

export const mailAliases: ResourceType<MailAlias> = {
  group: 'postrider.dev',
  version: 'v1alpha1',
  plural: 'mailaliases',
  kind: 'MailAlias',
  isNamespaced: true,
};
