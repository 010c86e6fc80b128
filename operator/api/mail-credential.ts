// Made from crds/mailcredentials.yaml by tools/generate-api-types.ts; change it there.

import type { KubeObject, ResourceType } from '#operator/kube/resource.ts';
import type { Condition } from './condition.ts';

/** What the login is to be. */
export type MailCredentialSpec = {
  /** The addresses that it may send with. Their domains must be those of MailDomains which let this namespace in. */
  readonly allowedSenders: readonly string[];
  /**
   * The Secret that is made, in this namespace, with the keys host, port, username, password, uri and ca.crt.
   * Without it, <name>-smtp. It can't be changed.
   */
  readonly secretName?: string;
  /** When the password is replaced by a new one. Without it, never. */
  readonly rotation?: {
    /** How long a password is used, 1m at least, such as 720h. */
    readonly interval: string;
    /** How long the password before it works too, so that workloads have the time to take the new one. */
    readonly overlap: string;
  };
  /** Bounds on what is sent with it. */
  readonly limits?: {
    /**
     * Messages to other systems in an hour, with this login. A message to ten people counts as ten. Without it the
     * server's own limit holds.
     */
    readonly messagesPerHour?: number;
    /**
     * Messages to other systems in a day, with this login. A message to ten people counts as ten. Without it the
     * server's own limit holds.
     */
    readonly messagesPerDay?: number;
  };
};

/** How the login is, as the operator sees it. */
export type MailCredentialStatus = {
  /**
   * metadata.generation that this status is about. A smaller number than metadata.generation means that the newest
   * spec has not been looked at yet.
   */
  readonly observedGeneration?: number;
  /** What is so, one entry a type. Ready sums the others up. */
  readonly conditions?: readonly Condition[];
  /** The Secret with the login, in this namespace. */
  readonly secretName?: string;
  /** The name to log in with. */
  readonly username?: string;
  /** Since when the password is in use. */
  readonly rotatedAt?: string;
  /** When it is replaced. */
  readonly expiresAt?: string;
  /** Until when the password before it works too. */
  readonly previousValidUntil?: string;
};

/**
 * A login with which a workload hands in mail over SMTP, and nothing else. It is written into a Secret, which
 * the workload mounts or takes its environment from.
 */
export type MailCredential = KubeObject & { readonly spec: MailCredentialSpec; readonly status?: MailCredentialStatus };

export const mailCredentials: ResourceType<MailCredential> = {
  group: 'postrider.dev',
  version: 'v1alpha1',
  plural: 'mailcredentials',
  kind: 'MailCredential',
  isNamespaced: true,
};
