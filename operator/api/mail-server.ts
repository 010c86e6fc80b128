// Made from crds/mailservers.yaml by tools/generate-api-types.ts; change it there.

import type { KubeObject, ResourceType } from '#operator/kube/resource.ts';
import type { Condition } from './condition.ts';

/** What the installation is to be. */
export type MailServerSpec = {
  /**
   * The host name that clients and other mail servers know the installation by, the target of its domains' MX
   * records.
   */
  readonly hostname: string;
  /** Where the certificate for the host name comes from. */
  readonly tls: {
    /**
     * SelfSigned makes one that the operator renews, CertManager asks an issuer of cert-manager, ACME orders one
     * from the authority of spec.acme, Secret takes a given one, None makes none (the servers have their own files).
     */
    readonly mode: 'SelfSigned' | 'Secret' | 'CertManager' | 'ACME' | 'None';
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
  /**
   * An authority that signs certificates by ACME (RFC 8555), and the account there. It is used by this MailServer
   * and by MailDomains whose tls mode is ACME. It asks each host name on port 80, which has to lead to the servers
   * (chart value acme.enabled).
   */
  readonly acme?: {
    /** The authority's directory, an https address. Without it that of Let's Encrypt. */
    readonly directoryUrl: string;
    /** Addresses that the authority may write to. */
    readonly contacts?: readonly string[];
    /**
     * That whoever applies this agrees to the authority's terms of service, to which its directory leads. Must be
     * true.
     */
    readonly termsOfServiceAgreed: boolean;
    /**
     * Links the account to one that you have with the authority, where it asks for that. Both values are its
     * administrator's.
     */
    readonly externalAccountBinding?: {
      /** The name of the key. */
      readonly keyId: string;
      /** A Secret in this namespace with the key in hmacKey, base64url as the authority gives it. */
      readonly secretRef: {
        /** The Secret's name. */
        readonly name: string;
      };
    };
    /**
     * Certificates in PEM that the authority's own server is checked with, instead of the usual ones. For a private
     * authority.
     */
    readonly caBundle?: string;
  };
  /**
   * IP addresses that mail comes to and goes out from, as the rest of the world sees them. Address and SPF records
   * are made of them.
   */
  readonly publicAddresses?: readonly string[];
  /** Namespaces whose MailDomains may belong to this installation. */
  readonly allowedNamespaces: {
    /** Same is the namespace of the MailServer alone, Selector those whose labels fit the selector, All every one. */
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
  /**
   * Domains that may be received here without a proof. Any other needs a TXT record in its zone, which its
   * MailDomain tells in status.challenge, else anybody could take the mail of somebody else's domain.
   */
  readonly domains?: readonly string[];
  /**
   * For a cluster that was built anew beside the old database. SameName attaches rows whose resource is gone to
   * the resource of the same kind, namespace and name; None leaves them as they are.
   */
  readonly adoptFrom: 'None' | 'SameName';
};

/** How the installation is, as the operator sees it. */
export type MailServerStatus = {
  /**
   * metadata.generation that this status is about. A smaller number than metadata.generation means that the newest
   * spec has not been looked at yet.
   */
  readonly observedGeneration?: number;
  /** What is so, one entry a type. Ready sums the others up. */
  readonly conditions?: readonly Condition[];
  /** Server processes that are ready, and how many there are, as in 3/3. */
  readonly replicas?: string;
  /** Version of the servers; several with commas between them while they are replaced. */
  readonly version?: string;
  /** Number of the database's newest migration. */
  readonly schemaVersion?: number;
  /** The server processes that gave a sign of life lately; the first hundred. */
  readonly instances?: readonly {
    /** Its name, that of its Pod. */
    readonly name: string;
    /** What it does, such as mx, submission, imap or outbound. */
    readonly roles?: readonly string[];
    /** Its version. */
    readonly version?: string;
    /** When it started. */
    readonly startedAt?: string;
  }[];
  /** How many MailDomains belong to the installation. */
  readonly domains?: number;
  /** How many Mailboxes they have together. */
  readonly mailboxes?: number;
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
  /**
   * How much mail waits to be sent, roughly, and told anew every five minutes at most. The metrics of the servers
   * say it exactly.
   */
  readonly queue?: {
    /** Recipients that mail is still to be sent to; 10000 stands for as many or more. */
    readonly waiting?: number;
    /** Those that wait for a person, since they are held or were given up on. */
    readonly held?: number;
    /** When the oldest message that waits was taken. */
    readonly oldest?: string;
    /** When that was so. */
    readonly observedAt?: string;
  };
  /** What the operator sees of the database. */
  readonly database?: {
    /** Version of Postgres. */
    readonly version?: string;
    /** Whether commits are written to disk. */
    readonly fsync?: boolean;
    /** The setting synchronous_commit. */
    readonly synchronousCommit?: string;
    /** How many standby servers have each commit before it is told. */
    readonly synchronousStandbys?: number;
    /** How many connections the database takes. */
    readonly maxConnections?: number;
    /** How many connections the installation may open. */
    readonly connectionBudget?: number;
  };
};

/**
 * One installation of Postrider, whose servers share a database. Domains name the one that they belong to. The
 * chart makes it; the operator says here how the installation is.
 */
export type MailServer = KubeObject & { readonly spec: MailServerSpec; readonly status?: MailServerStatus };

export const mailServers: ResourceType<MailServer> = {
  group: 'postrider.dev',
  version: 'v1alpha1',
  plural: 'mailservers',
  kind: 'MailServer',
  isNamespaced: true,
};
