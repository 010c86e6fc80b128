/**
 * The schema of the chart's values: their types are those of the defaults, and no map takes a key that values.yaml
 * does not have, but for those that are Kubernetes' own or the user's.
 */
import { operatorSettings } from '#shared/config/operator-settings.ts';
import { mailListeners, settings } from '#shared/config/settings.ts';
import type { ChartValue } from './values-file.ts';

type Schema = { readonly [keyword: string]: unknown };

const integer = (minimum: number, maximum: number): Schema => ({ type: 'integer', minimum, maximum });
const choice = (...words: readonly string[]): Schema => ({ enum: words });
const port = integer(1, 65_535);
const portOrNone: Schema = { anyOf: [port, { type: 'null' }] };
const texts: Schema = { type: 'object', additionalProperties: { type: 'string' } };
const objects: Schema = { type: 'array', items: { type: 'object' } };
const anyObject: Schema = { type: 'object' };
const quantity: Schema = { type: 'string', pattern: '^[0-9]+(\\.[0-9]+)?([kMGTPE]i?|m)?$' };
const quantities: Schema = { type: 'object', additionalProperties: { anyOf: [quantity, { type: 'number' }] } };
const resources: Schema = {
  type: 'object',
  additionalProperties: false,
  properties: { requests: quantities, limits: quantities, claims: objects },
};
const countOrPercent: Schema = { anyOf: [integer(0, 1000), { type: 'string', pattern: '^[0-9]+%$' }] };
const replicas = integer(0, 1000);
const roleNames = ['mx', 'submission', 'imap', 'outbound'];

const ofServerChart = [
  'ROLES',
  'MAIL_HOSTNAME',
  'MIGRATIONS',
  'DATABASE_URL',
  'DATABASE_POOL_SIZE',
  'KEYRING_FILE',
  'DATA_DIR',
  'MANIFESTS_DIR',
  'PROXY_PROTOCOL_NETWORKS',
  'PROXY_PROTOCOL_LISTENERS',
  'HTTP_PORT',
  'ACME_HTTP_PORT',
  'SMTP_RECEIVE_PORT',
  'SUBMISSION_PORT',
  'SMTP_RECEIVE_SSL_PORT',
  'IMAP_PORT',
  'IMAP_SSL_PORT',
  'DRAIN_DELAY',
  'GRACE_PERIOD',
  'LOG_FORMAT',
];
const ofOperatorChart = [
  'DATABASE_URL',
  'OPERATOR_NAMESPACE',
  'OPERATOR_IDENTITY',
  'WATCHED_NAMESPACES',
  'LEASE_NAME',
  'KEYRING_SECRET',
  'MAIL_SERVER_FILE',
  'CERT_MANAGER',
  'EXTERNAL_DNS',
  'HTTP_PORT',
  'LOG_LEVEL',
  'LOG_FORMAT',
];

/** What the default does not tell, by the end of the value's path; the first that fits. */
const rules: readonly (readonly [ends: string, schema: Schema])[] = [
  ['operator.config', settingsSchema(operatorSettings, ofOperatorChart)],
  ['config', settingsSchema(settings, ofServerChart)],
  ['image.pullPolicy', choice('Always', 'IfNotPresent', 'Never')],
  ['digest', { type: 'string', pattern: '^(sha256:[0-9a-f]{64})?$' }],
  [
    'hostname',
    {
      type: 'string',
      maxLength: 253,
      pattern: '^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$',
    },
  ],
  ['type', choice('ClusterIP', 'NodePort', 'LoadBalancer')],
  ['externalTrafficPolicy', choice('Local', 'Cluster')],
  ['ipFamilyPolicy', choice('', 'SingleStack', 'PreferDualStack', 'RequireDualStack')],
  ['nodePort', portOrNone],
  ['tlsNodePort', portOrNone],
  ['port', port],
  ['tlsPort', port],
  ['databasePort', port],
  ['outboundPorts', { type: 'array', items: port, minItems: 1 }],
  ['acmePorts', { type: 'array', items: port, minItems: 1 }],
  ['mailServer.acme', anyObject],
  ['apiServerPorts', { type: 'array', items: port, minItems: 1 }],
  ['loadBalancerSourceRanges', { type: 'array', items: { type: 'string' } }],
  ['proxyProtocol.networks', { type: 'array', items: { type: 'string', minLength: 1 } }],
  ['proxyProtocol.listeners', { type: 'array', items: choice(...mailListeners), minItems: 1, uniqueItems: true }],
  ['databasePoolSize', integer(2, 500)],
  ['drainDelaySeconds', integer(0, 600)],
  ['graceSeconds', integer(1, 3600)],
  ['spoolSize', quantity],
  ['bundled.size', quantity],
  ['bundled.settings', texts],
  ['cpuUtilization', integer(0, 1000)],
  ['maxUnavailable', countOrPercent],
  ['minReplicas', replicas],
  ['maxReplicas', integer(1, 1000)],
  ['replicas', replicas],
  ['allowedNamespaces.from', choice('Same', 'Selector', 'All')],
  ['adoptFrom', choice('None', 'SameName')],
  ['tls.mode', choice('SelfSigned', 'Secret', 'CertManager', 'ACME', 'None')],
  ['logLevel', choice('trace', 'debug', 'info', 'warn', 'error')],
  ['domains', { type: 'array', items: { type: 'string', maxLength: 255 } }],
  ['publicAddresses', { type: 'array', items: { type: 'string' } }],
  [
    'watchNamespaces',
    { type: 'array', items: { type: 'string', pattern: '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$' }, uniqueItems: true },
  ],
  ['extraObjects', { type: 'array', items: { type: ['string', 'object'] } }],
  ['commonLabels', texts],
  ['labels', texts],
  ['podLabels', texts],
  ['podAnnotations', texts],
  ['annotations', texts],
  ['nodeSelector', texts],
  ['queueDepthSelector', texts],
  ['resources', resources],
  // Parts of Kubernetes' own objects: the API server looks at them.
  ['strategy', anyObject],
  ['affinity', anyObject],
  ['selector', anyObject],
  ['issuerRef', anyObject],
];

/** Settings that are not the chart's own business. */
function settingsSchema(
  table: Readonly<Record<string, { readonly names: readonly string[] }>>,
  ofChart: readonly string[],
): Schema {
  const names = Object.values(table)
    .map((row) => row.names[0] ?? '')
    .filter((name) => !ofChart.includes(name));
  return {
    type: 'object',
    propertyNames: { enum: names.sort() },
    additionalProperties: { type: ['string', 'number', 'boolean'] },
  };
}

type Node = { schema: Schema | null; readonly below: Map<string, Node> };

export function valuesSchema(values: readonly ChartValue[]): Schema {
  const top: Node = { schema: null, below: new Map() };
  for (const value of values.filter(({ path }) => !roleNames.includes(path[0] ?? ''))) {
    const last = value.path.reduce((node, name) => {
      const below = node.below.get(name) ?? { schema: null, below: new Map<string, Node>() };
      node.below.set(name, below);
      return below;
    }, top);
    last.schema = { ...schemaOf(value), description: value.help };
  }
  const server = top.below.get('server');
  for (const role of roleNames) top.below.set(role, { schema: { $ref: '#/$defs/server' }, below: new Map() });
  // Helm puts it there where this is a part of another chart.
  top.below.set('global', { schema: anyObject, below: new Map() });
  top.below.set('server', { schema: { $ref: '#/$defs/server' }, below: new Map() });
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Values of the chart postrider',
    ...closed(top),
    $defs: { server: server === undefined ? {} : closed(server) },
  };
}

function closed({ schema, below }: Node): Schema {
  if (schema !== null) return schema;
  return {
    type: 'object',
    additionalProperties: false,
    properties: Object.fromEntries([...below].map(([name, node]) => [name, closed(node)])),
  };
}

function schemaOf({ path, standard }: ChartValue): Schema {
  const name = path.join('.');
  const rule = rules.find(([ends]) => name === ends || name.endsWith(`.${ends}`));
  if (rule !== undefined) return rule[1];
  if (Array.isArray(standard)) return objects;
  switch (typeof standard) {
    case 'boolean':
      return { type: 'boolean' };
    case 'number':
      return integer(0, 1_000_000);
    case 'string':
      return { type: 'string' };
    default:
      throw new Error(`values.yaml: what type ${name} has is not known; write a rule for it`);
  }
}
