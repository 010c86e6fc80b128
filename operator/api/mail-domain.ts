// Made from crds/maildomains.yaml by tools/generate-api-types.ts; change it there.

import type { KubeObject, ResourceType } from '#operator/kube/resource.ts';
import type { Condition } from './condition.ts';

/** What the domain is to be. */
export type MailDomainSpec = {
  /** The domain, in lower case and in ASCII (A-labels). It can't be changed. */
  readonly domain: string;
  /** The MailServer that the domain belongs to. It can't be changed. */
  readonly serverRef: {
    /** The MailServer's name. */
    readonly name: string;
    /**
     * The MailServer's namespace, whose allowedNamespaces must take in that of the MailDomain. Without it, the
     * MailDomain's own.
     */
    readonly namespace?: string;
  };
  /** Other domains, each address at which is the one at domain. */
  readonly aliasDomains?: readonly string[];
  /** With +, mail for alice+anything reaches alice. Empty for no such addresses. */
  readonly subaddressDelimiter: string;
  /** Who gets the mail for names that nobody has. Without it such mail is refused. */
  readonly catchAll?: string;
  /** Namespaces whose Mailboxes, MailAliases and MailCredentials may use the domain. */
  readonly allowedNamespaces: {
    /** Same is the namespace of the MailDomain alone, Selector those whose labels fit the selector, All every one. */
    readonly from: 'Same' | 'Selector' | 'All';
    /**
     * Namespaces by their labels. Belongs to from Selector, and only there. All that is asked must hold; an empty
     * selector takes every namespace.
     */
    readonly selector?: {
      /** Labels that the namespace must have, each with this value. */
      readonly matchLabels?: Readonly<Record<string, string>>;
      /** Demands on single labels. */
      readonly matchExpressions?: readonly {
        /** The label's key. */
        readonly key: string;
        /** How the label is compared with values. */
        readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
        /** At least one with In and NotIn, none with Exists and DoesNotExist. */
        readonly values?: readonly string[];
      }[];
    };
  };
  /** The signatures on outgoing mail (DKIM). */
  readonly dkim: {
    /** One key of each is made, and mail is signed with all. Empty for no signatures. */
    readonly algorithms: readonly ('rsa2048' | 'ed25519')[];
    /** When keys are replaced by new ones. */
    readonly rotation: {
      /** How long a key is used, such as 4320h. Without it keys are not replaced. */
      readonly interval?: string;
      /** How long a key is published before and after its use. */
      readonly overlap: string;
    };
  };
  /** The DMARC record that the domain should have. */
  readonly dmarc?: {
    /** What receivers should do with mail that is not authenticated. */
    readonly policy: 'none' | 'quarantine' | 'reject';
    /** Share of such mail that the policy is for. */
    readonly percent?: number;
    /** Where receivers send reports to. */
    readonly rua?: readonly string[];
  };
  /**
   * The MTA-STS policy that the domain should have. Its file has to be served at
   * https://mta-sts.<domain>/.well-known/mta-sts.txt.
   */
  readonly mtaSts?: {
    /** With enforce, others deliver over verified TLS or not at all; testing only has them report. */
    readonly mode: 'none' | 'testing' | 'enforce';
    /** How long others may remember the policy. */
    readonly maxAge: string;
  };
  /**
   * A certificate of the domain's own, for clients that connect to a name in it. Without it the MailServer's is
   * used.
   */
  readonly tls?: {
    /**
     * Server is the MailServer's certificate, CertManager asks an issuer of cert-manager, ACME orders one from the
     * authority that the MailServer names in spec.acme, Secret takes a given one, SelfSigned makes one that the
     * operator renews.
     */
    readonly mode: 'Server' | 'CertManager' | 'ACME' | 'Secret' | 'SelfSigned';
    /** The issuer of cert-manager that signs. Belongs to mode CertManager, and only there. */
    readonly issuerRef?: {
      /** The issuer's name. */
      readonly name: string;
      /** Issuer of this namespace, or ClusterIssuer. */
      readonly kind: 'Issuer' | 'ClusterIssuer';
      /** The issuer's API group; another one than cert-manager's for external issuers. */
      readonly group: string;
    };
    /**
     * A Secret of type kubernetes.io/tls in this namespace, with tls.crt and tls.key. Belongs to mode Secret, and
     * only there.
     */
    readonly secretRef?: {
      /** The Secret's name. */
      readonly name: string;
    };
  };
  /** What is done about the domain's DNS records. They are always told in status.dnsRecords. */
  readonly dns?: {
    /** DNSEndpoint also writes them into a resource of that kind, which external-dns publishes. */
    readonly publish: 'StatusOnly' | 'DNSEndpoint';
    /** Whether the domain's name servers are asked for them. */
    readonly verify: boolean;
    /** How often they are asked. */
    readonly verifyInterval: string;
  };
  /** Bounds on all of the domain's mailboxes together. */
  readonly limits?: {
    /** How many Mailboxes the domain may have. */
    readonly maxMailboxes?: number;
    /** Quota of Mailboxes that name none. */
    readonly defaultQuota?: string;
    /** What the quotas of all Mailboxes may add up to; each needs one then. */
    readonly totalQuota?: string;
    /**
     * Messages to other systems in an hour, of all accounts together. A message to ten people counts as ten. Without
     * it the server's own limit holds.
     */
    readonly messagesPerHour?: number;
    /**
     * Messages to other systems in a day, of all accounts together. A message to ten people counts as ten. Without
     * it the server's own limit holds.
     */
    readonly messagesPerDay?: number;
    /**
     * Recipients in a day to whom nothing was sent before, of all accounts together. Without it the server's own
     * limit holds.
     */
    readonly newRecipientsPerDay?: number;
  };
  /** A MailPolicy of this namespace, for what the domain receives. */
  readonly policyRef?: {
    /** The MailPolicy's name. */
    readonly name: string;
  };
  /** With true no mail is received for the domain and nobody logs in. Nothing is lost. */
  readonly suspended: boolean;
  /**
   * What becomes of the domain when the resource is deleted. Retain takes it out of use and keeps all mail, until
   * a resource with the same domain comes back. Orphan leaves it in use, without a resource. Delete removes it
   * once no mailbox is left in it; until then the resource stays.
   */
  readonly deletionPolicy: 'Retain' | 'Orphan' | 'Delete';
};

/** How the domain is, as the operator sees it. */
export type MailDomainStatus = {
  /**
   * metadata.generation that this status is about. A smaller number than metadata.generation means that the newest
   * spec has not been looked at yet.
   */
  readonly observedGeneration?: number;
  /** What is so, one entry a type. Ready sums the others up. */
  readonly conditions?: readonly Condition[];
  /** The domain's number in the database. */
  readonly domainId?: string;
  /** How many Mailboxes it has. */
  readonly mailboxes?: number;
  /** How many MailAliases it has. */
  readonly aliases?: number;
  /** The proof that the domain is yours. Without it no mail is received for it. */
  readonly challenge?: {
    /** Name of the TXT record to publish. */
    readonly name?: string;
    /** What the record must hold. */
    readonly value?: string;
    /** Proved when it was seen, Listed when the MailServer lists the domain and no proof is needed. */
    readonly state?: 'Proved' | 'Listed' | 'Missing' | 'Unknown';
  };
  /** The keys that sign, that will and that did. */
  readonly dkim?: readonly {
    /** The selector, which names the key's record. */
    readonly selector: string;
    /** The algorithm, rsa2048 or ed25519. */
    readonly algorithm?: string;
    /**
     * Pending until its record is in the DNS, then Active; Retiring while mail that it signed may still be on its
     * way.
     */
    readonly state?: 'Pending' | 'Active' | 'Retiring';
    /** Since when it is in this state. */
    readonly since?: string;
    /** Since when its record is in the DNS, at the domain's name servers and at resolvers. */
    readonly seenSince?: string;
    /** Name of its TXT record. */
    readonly record?: string;
  }[];
  /** The DNS records that the domain needs; the first 64. */
  readonly dnsRecords?: readonly {
    /** The name, with a dot at its end. */
    readonly name: string;
    /** The type, such as MX or TXT. */
    readonly type: string;
    /** For how many seconds it may be remembered. */
    readonly ttl?: number;
    /** What it must hold, a TXT value in one piece. */
    readonly values: readonly string[];
    /** The same as lines of a zone file, long TXT values cut into strings of 255 bytes. */
    readonly zoneLines?: readonly string[];
    /** What the DNS has instead, where it has something else. */
    readonly found?: readonly string[];
    /** What the record is for, such as inbound, spf or dkim. */
    readonly purpose?: string;
    /** Whether DNSReady waits for it. */
    readonly required?: boolean;
    /** Whether the domain's name servers have it. */
    readonly state?: 'Unknown' | 'Published' | 'Missing' | 'Mismatch';
  }[];
  /** The last look at the domain's name servers. */
  readonly dnsCheck?: {
    /** When they were asked. */
    readonly lastTime?: string;
    /** When they will be asked again. */
    readonly nextTime?: string;
    /** Who was asked. */
    readonly servers?: readonly string[];
  };
  /** The certificate in use. */
  readonly tls?: {
    /** Where it comes from, as spec.tls.mode. */
    readonly mode?: string;
    /** The Secret with the certificate and its key. */
    readonly secretName?: string;
    /** Host names that the certificate is for. */
    readonly names?: readonly string[];
    /** When the certificate ends. */
    readonly notAfter?: string;
    /** When it will be renewed, where the operator sees to that by ACME. */
    readonly renewalTime?: string;
    /** How many attempts to get one failed in a row. */
    readonly failedAttempts?: number;
    /** When the next attempt is due, after failed ones. */
    readonly nextAttemptTime?: string;
  };
};

/** A domain whose mail is received here, with its keys, certificate and DNS records. */
export type MailDomain = KubeObject & { readonly spec: MailDomainSpec; readonly status?: MailDomainStatus };

export const mailDomains: ResourceType<MailDomain> = {
  group: 'postrider.dev',
  version: 'v1alpha1',
  plural: 'maildomains',
  kind: 'MailDomain',
  isNamespaced: true,
};
