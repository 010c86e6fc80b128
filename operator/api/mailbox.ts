// Made from crds/mailboxes.yaml by tools/generate-api-types.ts; change it there.

import type { KubeObject, ResourceType } from '#operator/kube/resource.ts';
import type { Condition } from './condition.ts';

/** What the account is to be. */
export type MailboxSpec = {
  /**
   * The account's own address. Its domain must be that of a MailDomain which lets this namespace in. It can't be
   * changed.
   */
  readonly address: string;
  /** The person's name. */
  readonly displayName?: string;
  /** Suspended takes no mail and no login; nothing is lost. */
  readonly state: 'Active' | 'Suspended';
  /**
   * How much mail the account may hold, such as 10Gi. Without it the domain's defaultQuota holds, else there is no
   * bound.
   */
  readonly quota?: string;
  /** Where the account's password comes from. */
  readonly password: {
    /**
     * Generated makes one and writes it into the Secret <name>-mailbox. SecretRef follows a Secret of yours. Initial
     * takes it from there once, from then on it is the user's.
     */
    readonly mode: 'Generated' | 'SecretRef' | 'Initial';
    /** The Secret with the password, in this namespace. Belongs to modes SecretRef and Initial, and only there. */
    readonly secretRef?: {
      /** The Secret's name. */
      readonly name: string;
      /** The key in it. */
      readonly key: string;
    };
    /** Characters of a generated password. */
    readonly length: number;
  };
  /** Further addresses of the account, also at other domains here. */
  readonly aliases?: readonly string[];
  /** Bounds on what the account sends. */
  readonly limits?: {
    /**
     * Messages to other systems in an hour, of this account. A message to ten people counts as ten. Without it the
     * server's own limit holds.
     */
    readonly messagesPerHour?: number;
    /**
     * Messages to other systems in a day, of this account. A message to ten people counts as ten. Without it the
     * server's own limit holds.
     */
    readonly messagesPerDay?: number;
    /** Recipients in a day to whom nothing was sent before, of this account. Without it the server's own limit holds. */
    readonly newRecipientsPerDay?: number;
    /** Recipients of one message. Without it the server's own limit holds. */
    readonly recipientsPerMessage?: number;
  };
  /**
   * With true a copy of what is handed in over SMTP is put into the mailbox for sent mail, for clients that don't
   * do so themselves.
   */
  readonly savesSent: boolean;
  /**
   * What becomes of the account when the resource is deleted. Retain ends login and delivery and keeps the mail,
   * until a Mailbox with the same address comes back. Orphan leaves it in use, without a resource. Delete does as
   * Retain for deletionGracePeriod, then removes the mail.
   */
  readonly deletionPolicy: 'Retain' | 'Orphan' | 'Delete';
  /** With deletionPolicy Delete, for how long the mail is kept after the resource went. */
  readonly deletionGracePeriod: string;
};

/** How the account is, as the operator sees it. */
export type MailboxStatus = {
  /**
   * metadata.generation that this status is about. A smaller number than metadata.generation means that the newest
   * spec has not been looked at yet.
   */
  readonly observedGeneration?: number;
  /** What is so, one entry a type. Ready sums the others up. */
  readonly conditions?: readonly Condition[];
  /** The account's address as it is in the database. */
  readonly address?: string;
  /** The account's number in the database. */
  readonly accountId?: string;
  /** The MailDomain that it belongs to. */
  readonly domainRef?: {
    /** Its namespace. */
    readonly namespace?: string;
    /** Its name. */
    readonly name?: string;
  };
  /** The Secret with the password, in this namespace. */
  readonly credentialsSecret?: string;
  /** Changes when the password that is in force changes. */
  readonly credentialsVersion?: string;
  /** The quota in force. */
  readonly quota?: string;
  /**
   * How much mail the account has, roughly. Told anew when it is noticeably different, every ten minutes at most.
   * Not there for an account without mail.
   */
  readonly usage?: {
    /** About so much of the quota is used, such as 1408Mi. */
    readonly bytes?: string;
    /** Messages. */
    readonly messages?: number;
    /** When that was so. */
    readonly observedAt?: string;
  };
};

/** An account with an address, a password and mail. The address is enough; the rest has defaults. */
export type Mailbox = KubeObject & { readonly spec: MailboxSpec; readonly status?: MailboxStatus };

export const mailboxes: ResourceType<Mailbox> = {
  group: 'postrider.dev',
  version: 'v1alpha1',
  plural: 'mailboxes',
  kind: 'Mailbox',
  isNamespaced: true,
};
