// Made from crds/mailroutes.yaml by tools/generate-api-types.ts; change it there.

import type { KubeObject, ResourceType } from '#operator/kube/resource.ts';
import type { Condition } from './condition.ts';

/** What the route is to be. */
export type MailRouteSpec = {
  /** Which mail takes the route. Both lists must fit; an empty one fits all. */
  readonly match?: {
    /** Domains of ours that the mail comes from. */
    readonly senderDomains?: readonly string[];
    /** Domains that it goes to. */
    readonly recipientDomains?: readonly string[];
  };
  /** Of several routes that fit, the lowest is taken, then the first by name. */
  readonly priority: number;
  /** Where the mail is handed over. One that failed three times in a row rests for a while. */
  readonly targets: readonly {
    /**
     * Direct is the recipient's mail hosts (MX), Smarthost a relay, LMTP a delivery agent, HTTP a request with the
     * message. Capture keeps it in the queue and sends nothing.
     */
    readonly type: 'Direct' | 'Smarthost' | 'LMTP' | 'HTTP' | 'Capture';
    /** Lower first; the next number is taken when all of one fail. */
    readonly priority: number;
    /** The target's share among those of one priority. */
    readonly weight: number;
    /** Host name or IP address of a Smarthost or LMTP target; with LMTP also the path of a socket. */
    readonly host?: string;
    /** Port of the target. Without it, 25 with Direct, 587 with Smarthost, 24 with LMTP. */
    readonly port?: number;
    /** How the connection is secured. */
    readonly tls?: {
      /**
       * Opportunistic (of Direct and LMTP unless told) takes TLS where it is offered and honours policies of the peer.
       * Required (of Smarthost unless told) wants a certificate that names the host, Implicit the same with TLS from
       * the first byte. DANE and MTASTS go only where the domain has such a policy. Disabled is plain text.
       */
      readonly mode?: 'Opportunistic' | 'Required' | 'Implicit' | 'DANE' | 'MTASTS' | 'Disabled';
      /** A Secret with certificates of authorities to trust instead of the usual ones. */
      readonly caSecretRef?: {
        /** The Secret's name, in this namespace. */
        readonly name: string;
        /** The key in it. */
        readonly key: string;
      };
    };
    /** A Secret with the login for a Smarthost, in the keys username and password. */
    readonly authSecretRef?: {
      /** The Secret's name, in this namespace. */
      readonly name: string;
    };
    /** Addresses of this host that connections start at, in turn. */
    readonly sourceAddresses?: readonly string[];
    /** A SOCKS5 proxy that connections go through. */
    readonly socks?: {
      /** Its IPv4 or IPv6 address. */
      readonly address: string;
      /** Its port. */
      readonly port: number;
      /** A Secret with the login for the proxy, in the keys username and password. */
      readonly authSecretRef?: {
        /** The Secret's name, in this namespace. */
        readonly name: string;
      };
    };
    /** Networks that Direct may deliver to though they are private or this machine's own. */
    readonly allowedNetworks?: readonly string[];
    /** Where an HTTP target is posted to, http or https, without a user. */
    readonly url?: string;
    /** A Secret with the key that signs requests of an HTTP target. */
    readonly signingSecretRef?: {
      /** The Secret's name, in this namespace. */
      readonly name: string;
      /** The key in it. */
      readonly key: string;
    };
  }[];
  /** Bounds for one next hop, over all servers. */
  readonly limits: {
    /** Connections at a time. */
    readonly maxConnections: number;
    /** Messages in a minute. Without it there is no bound. */
    readonly messagesPerMinute?: number;
  };
};

/** How the route is, as the operator sees it. */
export type MailRouteStatus = {
  /**
   * metadata.generation that this status is about. A smaller number than metadata.generation means that the newest
   * spec has not been looked at yet.
   */
  readonly observedGeneration?: number;
  /** What is so, one entry a type. Ready sums the others up. */
  readonly conditions?: readonly Condition[];
  /** What was seen of each target, in the order of spec.targets. */
  readonly targets?: readonly {
    /** Its type, and host and port or URL. */
    readonly target?: string;
    /** Whether a connection was made, and TLS and login as they are asked for. */
    readonly state?: 'Reachable' | 'Unreachable' | 'NotProbed';
    /** What went wrong. */
    readonly message?: string;
    /** Milliseconds until it answered. */
    readonly latencyMs?: number;
    /** When that was. */
    readonly probedAt?: string;
  }[];
};

/**
 * Which way mail to other domains goes. Of the routes whose match fits, the one with the lowest priority is
 * taken; without any, mail goes to the recipient's mail hosts. Routes belong into the namespace of a MailServer.
 */
export type MailRoute = KubeObject & { readonly spec: MailRouteSpec; readonly status?: MailRouteStatus };

export const mailRoutes: ResourceType<MailRoute> = {
  group: 'postrider.dev',
  version: 'v1alpha1',
  plural: 'mailroutes',
  kind: 'MailRoute',
  isNamespaced: true,
};
