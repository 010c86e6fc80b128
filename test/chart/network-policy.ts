/**
 * What NetworkPolicies (networking.k8s.io/v1) allow, by the rules of the API: a pod that a policy selects may only do
 * what some policy that selects it allows, in each direction that the policies are about; other pods may do anything.
 */
import { BlockList, isIPv6 } from 'node:net';

export type Labels = Readonly<Record<string, string>>;
export type Peer = {
  /** Null: outside of the cluster. */
  readonly pod: {
    readonly namespace: string;
    readonly namespaceLabels: Labels;
    readonly labels: Labels;
    readonly ports?: Readonly<Record<string, number>>;
  } | null;
  readonly address: string;
};
export type Flow = { readonly from: Peer; readonly to: Peer; readonly port: number; readonly protocol?: 'TCP' | 'UDP' };

type Selector = {
  readonly matchLabels?: Labels;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
    readonly values?: readonly string[];
  }[];
};
type PeerRule = {
  readonly podSelector?: Selector;
  readonly namespaceSelector?: Selector;
  readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] };
};
type Rule = {
  readonly ports?: readonly {
    readonly port?: number | string;
    readonly endPort?: number;
    readonly protocol?: string;
  }[];
  readonly from?: readonly PeerRule[];
  readonly to?: readonly PeerRule[];
};
export type Policy = {
  readonly metadata: { readonly name?: string; readonly namespace?: string };
  readonly spec: {
    readonly podSelector: Selector;
    readonly policyTypes?: readonly ('Ingress' | 'Egress')[];
    readonly ingress?: readonly Rule[];
    readonly egress?: readonly Rule[];
  };
};

export function isAllowed(policies: readonly Policy[], flow: Flow): boolean {
  return isAllowedOneWay(policies, flow, 'Egress') && isAllowedOneWay(policies, flow, 'Ingress');
}

function isAllowedOneWay(policies: readonly Policy[], flow: Flow, direction: 'Ingress' | 'Egress'): boolean {
  const [self, other] = direction === 'Ingress' ? [flow.to, flow.from] : [flow.from, flow.to];
  const pod = self.pod;
  if (pod === null) return true;
  const about = policies.filter(
    ({ metadata, spec }) =>
      metadata.namespace === pod.namespace &&
      fits(spec.podSelector, pod.labels) &&
      (spec.policyTypes ?? defaultTypes(spec)).includes(direction),
  );
  if (about.length === 0) return true;
  return about.some(({ metadata, spec }) =>
    (direction === 'Ingress' ? (spec.ingress ?? []) : (spec.egress ?? [])).some((rule) => {
      const peers = direction === 'Ingress' ? rule.from : rule.to;
      return fitsPort(rule, flow) && fitsPeers(peers, other, metadata.namespace ?? '');
    }),
  );
}

function defaultTypes(spec: Policy['spec']): readonly ('Ingress' | 'Egress')[] {
  return spec.egress === undefined ? ['Ingress'] : ['Ingress', 'Egress'];
}

/** A port's name is one of the pod that is reached. */
function fitsPort({ ports }: Rule, { to, port, protocol = 'TCP' }: Flow): boolean {
  if (ports === undefined || ports.length === 0) return true;
  return ports.some((one) => {
    if ((one.protocol ?? 'TCP') !== protocol) return false;
    if (one.port === undefined) return true;
    const first = typeof one.port === 'number' ? one.port : to.pod?.ports?.[one.port];
    return first !== undefined && port >= first && port <= (one.endPort ?? first);
  });
}

function fitsPeers(peers: readonly PeerRule[] | undefined, other: Peer, policyNamespace: string): boolean {
  if (peers === undefined || peers.length === 0) return true;
  return peers.some(({ ipBlock, podSelector, namespaceSelector }) => {
    if (ipBlock !== undefined)
      return isIn(ipBlock.cidr, other.address) && !ipBlock.except?.some((cidr) => isIn(cidr, other.address));
    if (other.pod === null) return false;
    const isNamespace = namespaceSelector
      ? fits(namespaceSelector, other.pod.namespaceLabels)
      : other.pod.namespace === policyNamespace;
    return isNamespace && (podSelector === undefined || fits(podSelector, other.pod.labels));
  });
}

function fits({ matchLabels = {}, matchExpressions = [] }: Selector, labels: Labels): boolean {
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = labels[key];
      switch (operator) {
        case 'In':
          return value !== undefined && values.includes(value);
        case 'NotIn':
          return value === undefined || !values.includes(value);
        case 'Exists':
          return value !== undefined;
        case 'DoesNotExist':
          return value === undefined;
        default:
          throw new Error(`no such operator: ${String(operator)}`);
      }
    })
  );
}

function isIn(cidr: string, address: string): boolean {
  const [network = '', bits = ''] = cidr.split('/');
  const list = new BlockList();
  const family = isIPv6(network) ? 'ipv6' : 'ipv4';
  list.addSubnet(network, Number(bits), family);
  return isIPv6(address) === (family === 'ipv6') && list.check(address, family);
}
