/** Every setting of the operator, in one table. The part of `docs/configuration.md` about it is made from it. */
import os from 'node:os';
import { setting, type Setting } from './setting.ts';
import {
  choiceType,
  databaseUrlType,
  durationType,
  hostType,
  integerType,
  optionalType,
  pathType,
  portType,
  textType,
  wordsType,
} from './value-type.ts';

export const operatorSettings = {
  databaseUrl: setting({
    names: ['DATABASE_URL'],
    group: 'Data',
    type: optionalType(databaseUrlType),
    standard: '',
    isSecret: true,
    help: 'The Postgres database of the installation, that of the servers. From a file it is read again for each new connection, so a rotated password needs no restart.',
  }),
  databasePoolSize: setting({
    names: ['DATABASE_POOL_SIZE'],
    group: 'Data',
    type: integerType(2, 100),
    standard: '6',
    help: 'Database connections at most; one more is held for notifications.',
  }),
  operatorNamespace: setting({
    names: ['OPERATOR_NAMESPACE'],
    group: 'Kubernetes',
    type: optionalType(textType),
    standard: '',
    standardHelp: "the pod's namespace, or that of the kubeconfig's context",
    help: 'Where the Lease and the Secret with the keyring are, and where the MailServer is looked for.',
  }),
  watchedNamespaces: setting({
    names: ['WATCHED_NAMESPACES'],
    group: 'Kubernetes',
    type: wordsType,
    standard: '',
    standardHelp: 'all',
    help: 'Namespaces whose resources are followed, with commas between them. Empty: all of the cluster.',
  }),
  leaseName: setting({
    names: ['LEASE_NAME'],
    group: 'Kubernetes',
    type: textType,
    standard: 'postrider-operator',
    help: 'The Lease that the one operator at work holds; others wait for it.',
  }),
  keyringSecret: setting({
    names: ['KEYRING_SECRET'],
    group: 'Kubernetes',
    type: textType,
    standard: 'postrider-keyring',
    help: 'The Secret with the keyring of the database, in its key `keyring`. The operator makes it where there is none and nothing in the database is sealed yet; it never changes it. Back it up.',
  }),
  mailServerFile: setting({
    names: ['MAIL_SERVER_FILE'],
    group: 'Kubernetes',
    type: optionalType(pathType),
    standard: '',
    help: 'A manifest of a MailServer that the operator applies in its namespace whenever it begins to lead. The chart declares its own so.',
  }),
  identity: setting({
    names: ['OPERATOR_IDENTITY'],
    group: 'Kubernetes',
    type: textType,
    standard: os.hostname(),
    standardHelp: "this machine's name, which in a pod is the pod's",
    help: 'The name of this process in the Lease and in Events.',
  }),
  statusWorkers: setting({
    names: ['STATUS_WORKERS'],
    group: 'Kubernetes',
    type: integerType(1, 100),
    standard: '10',
    help: 'Statuses that are written at a time.',
  }),
  sweepSeconds: setting({
    names: ['SWEEP_INTERVAL'],
    group: 'Kubernetes',
    type: durationType(1, 86_400),
    standard: '5m',
    help: 'How often all resources are compared with all rows though nothing was heard of a change.',
  }),
  dnsServers: setting({
    names: ['DNS_SERVERS'],
    group: 'DNS',
    type: wordsType,
    standard: '',
    standardHelp: 'those of /etc/resolv.conf',
    help: "The resolvers that find domains' name servers, as `192.0.2.1` or `[2001:db8::1]:5353`, with commas between them. Of the first two is asked whether they have a new DKIM key, before it signs.",
  }),
  dnsAuthorityPort: setting({
    names: ['DNS_AUTHORITY_PORT'],
    group: 'DNS',
    type: integerType(1, 65_535),
    standard: '53',
    help: "The port of domains' name servers; another one is for tests alone.",
  }),
  httpHost: setting({
    names: ['HTTP_HOST'],
    group: 'Listeners',
    type: hostType,
    standard: '0.0.0.0',
    help: 'Address for health and metrics.',
  }),
  httpPort: setting({
    names: ['HTTP_PORT'],
    group: 'Listeners',
    type: portType,
    standard: '8080',
    help: '`/healthz`, `/readyz`, `/metrics` and `/api/v1/info`.',
  }),
  graceSeconds: setting({
    names: ['GRACE_PERIOD'],
    group: 'Running',
    type: durationType(1, 600),
    standard: '10s',
    help: 'From SIGTERM to the end at most; what is being written is finished and the Lease is given back.',
  }),
  logLevel: setting({
    names: ['LOG_LEVEL'],
    group: 'Running',
    type: choiceType(['trace', 'debug', 'info', 'warn', 'warning', 'error', 'fatal', 'silent']),
    standard: 'info',
    help: 'The least severe lines that are logged.',
  }),
  logFormat: setting({
    names: ['LOG_FORMAT'],
    group: 'Running',
    type: choiceType(['auto', 'json', 'text']),
    standard: 'auto',
    help: '`auto`: text on a terminal, else JSON.',
  }),
} as const;

export type OperatorSettingValues = {
  readonly [K in keyof typeof operatorSettings]: (typeof operatorSettings)[K] extends Setting<infer T> ? T : never;
};
