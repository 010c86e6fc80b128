/**
 * Every setting of the server, in one table. `docs/configuration.md` is made from it. A setting's first name is
 * the one to write; each may also be written with POSTRIDER_ before it, and a secret in the file that NAME_FILE names.
 */
import os from 'node:os';
import { defaultMaxMessageBytes } from '#shared/base/limits.ts';
import {
  addressType,
  choicesType,
  choiceType,
  databaseUrlType,
  domainType,
  durationType,
  hostType,
  integerType,
  limitType,
  optionalType,
  pathType,
  portType,
  processesType,
  sizeType,
  switchType,
  textType,
  webUrlType,
  networksType,
  wordsType,
  type ValueType,
} from './value-type.ts';

export const roles = ['mx', 'submission', 'outbound', 'imap', 'http', 'janitor'] as const;
export type Role = (typeof roles)[number];

/** Defaults that one switch changes together; the later ones win. */
export type Preset = 'development' | 'staging' | 'debug' | 'developmentMode' | 'local';

export type Setting<T> = {
  readonly names: readonly [string, ...string[]];
  readonly group: 'Modes' | 'Data' | 'Listeners' | 'TLS' | 'Logins' | 'Outbound' | 'Limits' | 'Running';
  readonly type: ValueType<T>;
  /** As it would be written. */
  readonly standard: string;
  /** What the reference page says instead of `standard`, where that depends on the machine. */
  readonly standardHelp?: string;
  readonly presets?: Partial<Record<Preset, string>>;
  readonly help: string;
  readonly isSecret?: true;
};

function setting<T>(row: Setting<T>): Setting<T> {
  return row;
}

const everywhere = '0.0.0.0';
const loopback = '127.0.0.1';
const onLoopback = { developmentMode: loopback, local: loopback };

export const settings = {
  environment: setting({
    names: ['ENVIRONMENT'],
    group: 'Modes',
    type: optionalType(choiceType(['development', 'staging', 'production'])),
    standard: '',
    help: 'A bundle of defaults. `development`: LOG_LEVEL debug, DRAIN_DELAY 0. `staging`: LOG_LEVEL debug. `production`: the defaults of this page, and DEVELOPMENT_MODE is refused.',
  }),
  developmentMode: setting({
    names: ['DEVELOPMENT_MODE'],
    group: 'Modes',
    type: switchType,
    standard: 'false',
    help: 'Any name of a local domain may log in with any password, and its mailbox is made on the first login; passwords are taken without TLS; submission may be used without a login. Listeners are on loopback unless DEVELOPMENT_MODE_EXPOSE is set.',
  }),
  developmentModeExpose: setting({
    names: ['DEVELOPMENT_MODE_EXPOSE'],
    group: 'Modes',
    type: switchType,
    standard: 'false',
    help: 'Allows development mode on addresses that are not loopback, for a container whose ports are published on a machine of your own. Whoever reaches the ports can read and write everything.',
  }),
  roles: setting({
    names: ['ROLES'],
    group: 'Modes',
    type: choicesType(roles),
    standard: 'all',
    help: 'What this process does: `mx` receives mail from other servers, `submission` from users, `outbound` sends what is queued to other systems, `imap` serves mailboxes, `janitor` cleans up. Health and metrics (`http`) are always served.',
  }),
  hostname: setting({
    names: ['MAIL_HOSTNAME', 'HOSTNAME'],
    group: 'Modes',
    type: domainType,
    standard: os.hostname(),
    standardHelp: "this machine's name",
    presets: { local: 'localhost' },
    help: 'The name of this server in greetings, Received fields and its self-signed certificate.',
  }),
  postmasterAddress: setting({
    names: ['POSTMASTER_ADDRESS'],
    group: 'Modes',
    type: optionalType(addressType),
    standard: '',
    standardHelp: '`postmaster` at MAIL_HOSTNAME',
    help: 'Who gets mail to `<postmaster>` without a domain (RFC 5321 section 4.5.1). Where that is no address of this server, it goes to `postmaster` of the oldest local domain that has one.',
  }),
  databaseUrl: setting({
    names: ['DATABASE_URL'],
    group: 'Data',
    type: optionalType(databaseUrlType),
    standard: '',
    isSecret: true,
    help: 'The Postgres database (15 or newer), as `postgres://user:password@host:5432/database`. Behind a pooler use its session mode: notifications need a connection of their own. With `run --local` a Postgres of its own is started in DATA_DIR when it is not set.',
  }),
  databasePoolSize: setting({
    names: ['DATABASE_POOL_SIZE'],
    group: 'Data',
    type: integerType(2, 500),
    standard: '20',
    help: 'Database connections of this process at most; up to four more are held for notifications and the batched delivery.',
  }),
  dataDirectory: setting({
    names: ['DATA_DIR'],
    group: 'Data',
    type: pathType,
    standard: './data',
    help: 'Folder for the keyring, the self-signed certificate, generated passwords, the spool and, with `run --local`, Postgres.',
  }),
  manifestsDirectory: setting({
    names: ['MANIFESTS_DIR'],
    group: 'Data',
    type: optionalType(pathType),
    standard: '',
    presets: { local: './examples' },
    help: 'Folder with MailDomain, Mailbox, MailAlias and Secret manifests (YAML) that the directory follows. Empty: something else looks after the directory.',
  }),
  keyringFile: setting({
    names: ['KEYRING_FILE'],
    group: 'Data',
    type: optionalType(pathType),
    standard: '',
    standardHelp: '`keyring` in DATA_DIR',
    help: 'Keys that seal secrets in the database; back them up, what they sealed opens with nothing else. `run --local` makes the file while nothing in the database is sealed yet; elsewhere it must be there (`postrider make-keyring FILE` makes one).',
  }),
  spoolDirectory: setting({
    names: ['SPOOL_DIR'],
    group: 'Data',
    type: optionalType(pathType),
    standard: '',
    standardHelp: '`spool` in DATA_DIR',
    help: 'Folder for large messages while they are received. What is in it may be lost at any time.',
  }),
  imapHost: setting({
    names: ['IMAP_HOST'],
    group: 'Listeners',
    type: hostType,
    standard: everywhere,
    presets: onLoopback,
    help: 'Address for IMAP; `::` for IPv4 and IPv6.',
  }),
  imapPort: setting({
    names: ['IMAP_PORT'],
    group: 'Listeners',
    type: portType,
    standard: '143',
    presets: { local: '2143' },
    help: 'IMAP with STARTTLS. `off` closes it.',
  }),
  imapUseSsl: setting({
    names: ['IMAP_USE_SSL'],
    group: 'Listeners',
    type: switchType,
    standard: 'false',
    help: 'TLS from the first byte on IMAP_PORT too.',
  }),
  imapSslPort: setting({
    names: ['IMAP_SSL_PORT'],
    group: 'Listeners',
    type: portType,
    standard: '993',
    presets: { local: '2993' },
    help: 'IMAP with TLS from the first byte.',
  }),
  smtpReceiveHost: setting({
    names: ['SMTP_RECEIVE_HOST'],
    group: 'Listeners',
    type: hostType,
    standard: everywhere,
    presets: onLoopback,
    help: 'Address for SMTP: receiving and submission.',
  }),
  smtpReceivePort: setting({
    names: ['SMTP_RECEIVE_PORT'],
    group: 'Listeners',
    type: portType,
    standard: '25',
    presets: { local: '2525' },
    help: 'Mail from other servers, with STARTTLS and without logins.',
  }),
  smtpReceiveUseSsl: setting({
    names: ['SMTP_RECEIVE_USE_SSL'],
    group: 'Listeners',
    type: switchType,
    standard: 'false',
    help: 'TLS from the first byte on SMTP_RECEIVE_PORT. Other mail servers do not expect that.',
  }),
  smtpReceiveSslPort: setting({
    names: ['SMTP_RECEIVE_SSL_PORT'],
    group: 'Listeners',
    type: portType,
    standard: '465',
    presets: { local: '2465' },
    help: 'Submission by users with TLS from the first byte (RFC 8314), with logins.',
  }),
  submissionPort: setting({
    names: ['SUBMISSION_PORT'],
    group: 'Listeners',
    type: portType,
    standard: '587',
    presets: { local: '2587' },
    help: 'Submission by users with STARTTLS (RFC 6409), with logins.',
  }),
  httpHost: setting({
    names: ['HTTP_HOST'],
    group: 'Listeners',
    type: hostType,
    standard: everywhere,
    presets: onLoopback,
    help: 'Address for health, metrics and information.',
  }),
  httpPort: setting({
    names: ['HTTP_PORT'],
    group: 'Listeners',
    type: portType,
    standard: '8080',
    help: '`/healthz`, `/readyz`, `/metrics` and `/api/v1/info`.',
  }),
  sslCertFile: setting({
    names: ['SSL_CERT_FILE'],
    group: 'TLS',
    type: optionalType(pathType),
    standard: '',
    help: 'Certificate with its chain (PEM), read again when it changes. Ignored without SSL_KEY_FILE (OpenSSL has a setting of this name too); then a self-signed certificate is made in DATA_DIR.',
  }),
  sslKeyFile: setting({
    names: ['SSL_KEY_FILE'],
    group: 'TLS',
    type: optionalType(pathType),
    standard: '',
    help: 'Private key of SSL_CERT_FILE (PEM).',
  }),
  oauthIssuer: setting({
    names: ['OAUTH_ISSUER'],
    group: 'Logins',
    type: optionalType(webUrlType),
    standard: '',
    help: 'The OpenID Connect issuer whose access tokens (JWT) log in with OAUTHBEARER and XOAUTH2, as its `iss` says. Empty: neither is offered.',
  }),
  oauthAudience: setting({
    names: ['OAUTH_AUDIENCE'],
    group: 'Logins',
    type: optionalType(textType),
    standard: '',
    help: 'What `aud` of an access token must name. Needed with OAUTH_ISSUER.',
  }),
  oauthJwksUrl: setting({
    names: ['OAUTH_JWKS_URL'],
    group: 'Logins',
    type: optionalType(webUrlType),
    standard: '',
    standardHelp: 'as the configuration of OAUTH_ISSUER says',
    help: "Where the issuer's keys are. They are read again when they are ten minutes old, or when a token names a key that is not among them.",
  }),
  oauthLoginClaim: setting({
    names: ['OAUTH_LOGIN_CLAIM'],
    group: 'Logins',
    type: textType,
    standard: 'email',
    help: 'The claim of an access token that has an address of the account.',
  }),
  outboundConnections: setting({
    names: ['OUTBOUND_CONNECTIONS'],
    group: 'Outbound',
    type: integerType(1, 2000),
    standard: '100',
    help: 'Connections to other systems that this process has open at a time. How many one destination gets, over all processes, is the route’s matter.',
  }),
  queueExpirySeconds: setting({
    names: ['QUEUE_EXPIRY'],
    group: 'Outbound',
    type: durationType(60, 30 * 24 * 3600),
    standard: '120h',
    help: 'How long a message is tried until its sender is told that it failed (RFC 5321 section 4.5.4.1 asks for four to five days at least).',
  }),
  leaseSeconds: setting({
    names: ['QUEUE_LEASE'],
    group: 'Outbound',
    type: durationType(1, 25),
    standard: '20s',
    help: 'How long what a process has in hand stays its own after it was last heard of. The same for all processes of a database.',
  }),
  dnsServers: setting({
    names: ['DNS_SERVERS'],
    group: 'Outbound',
    type: wordsType,
    standard: '',
    standardHelp: 'those of /etc/resolv.conf',
    help: 'The resolvers that are asked for mail hosts, as `192.0.2.1` or `[2001:db8::1]:5353`, with commas between them. They are believed in what they say of DNSSEC, so the way to them must be safe.',
  }),
  dnssecProbeName: setting({
    names: ['DNSSEC_PROBE_NAME'],
    group: 'Outbound',
    type: textType,
    standard: 'dnssec-failed.org',
    help: 'A name with wrong signatures. A resolver that answers it does not validate DNSSEC, and DANE is off. `none` leaves out this part of the check, for a network that has no such name.',
  }),
  privateNetworks: setting({
    names: ['OUTBOUND_PRIVATE_NETWORKS'],
    group: 'Outbound',
    type: networksType,
    standard: '10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,192.0.0.0/24,198.18.0.0/15,fc00::/7,fec0::/10',
    help: 'Networks that are ours: other people’s MX records and address literals lead no mail there, unless a MailRoute lists them. Name those of Pods and Services here if they are others. Loopback, link-local and metadata addresses are always refused.',
  }),
  ownAddresses: setting({
    names: ['OUTBOUND_OWN_ADDRESSES'],
    group: 'Outbound',
    type: wordsType,
    standard: '',
    standardHelp: 'those of this machine',
    help: 'Further addresses under which this installation receives mail, such as a load balancer’s: mail for a domain whose MX leads there, and which is not here, is returned instead of sent round in circles.',
  }),
  maxMessageBytes: setting({
    names: ['MAX_MESSAGE_SIZE'],
    group: 'Limits',
    type: sizeType(64 * 1024, 1024 ** 3),
    standard: `${defaultMaxMessageBytes / 1024 ** 2}Mi`,
    help: 'The largest message that is taken, by SMTP (announced as SIZE) and by APPEND.',
  }),
  spoolMemoryBytes: setting({
    names: ['SPOOL_MEMORY'],
    group: 'Limits',
    type: sizeType(0, 16 * 1024 ** 3),
    standard: '64Mi',
    help: 'Memory for messages while they are received; above it they go to SPOOL_DIR.',
  }),
  maxConnections: setting({
    names: ['MAX_CONNECTIONS'],
    group: 'Limits',
    type: integerType(1, 100_000),
    standard: '2000',
    help: 'Connections of one listener at a time.',
  }),
  maxConnectionsPerAddress: setting({
    names: ['MAX_CONNECTIONS_PER_ADDRESS'],
    group: 'Limits',
    type: integerType(1, 100_000),
    standard: '100',
    presets: { developmentMode: '2000', local: '2000' },
    help: 'Connections of one listener from one IPv4 address or IPv6 /64 network at a time.',
  }),
  sendingPerHour: setting({
    names: ['SENDING_PER_HOUR'],
    group: 'Limits',
    type: limitType,
    standard: '300',
    presets: { local: 'off', developmentMode: 'off' },
    help: 'Recipients at other systems that an account may write to: so many at once, and from then on evenly over an hour. A Mailbox may have a limit of its own (`limits.messagesPerHour`); mail that stays here is not counted.',
  }),
  sendingPerDay: setting({
    names: ['SENDING_PER_DAY'],
    group: 'Limits',
    type: limitType,
    standard: '1000',
    presets: { local: 'off', developmentMode: 'off' },
    help: 'The same for a day (`limits.messagesPerDay`).',
  }),
  newRecipientsPerDay: setting({
    names: ['NEW_RECIPIENTS_PER_DAY'],
    group: 'Limits',
    type: limitType,
    standard: 'off',
    help: 'Recipients at other systems that an account has never written to before, a day (`limits.newRecipientsPerDay`). Whom it writes to is remembered only where this limit is set.',
  }),
  bounceAddresses: setting({
    names: ['BOUNCE_ADDRESSES'],
    group: 'Modes',
    type: switchType,
    standard: 'true',
    help: 'What our users send has a return path of its own (`bounce+…` at the domain of its sender), so that a bounce is known to be of that message and not made up. `false`: the return path is the sender, and later bounces suppress nothing; write it where mail to a domain of ours is received by another system, which would not know these addresses.',
  }),
  bareNewlines: setting({
    names: ['BARE_NEWLINES'],
    group: 'Limits',
    type: choiceType(['refuse', 'normalise']),
    standard: 'refuse',
    help: 'What happens to a message with a CR or LF that stands alone (RFC 5321 section 2.3.8): 550, or each becomes CRLF.',
  }),
  processes: setting({
    names: ['PROCESSES'],
    group: 'Running',
    type: processesType,
    standard: '1',
    help: 'Server processes that share the listeners, or `auto` for one a processor; `--processes` of `postrider run` is the same. With more than one, another process starts them, answers HTTP and does what must be done once. Pool, spool memory and connection limits are of each process.',
  }),
  drainDelaySeconds: setting({
    names: ['DRAIN_DELAY'],
    group: 'Running',
    type: durationType(0, 600),
    standard: '10s',
    presets: { development: '0', local: '0' },
    help: 'After SIGTERM: not ready, but connections are still taken this long, until load balancers have noticed.',
  }),
  graceSeconds: setting({
    names: ['GRACE_PERIOD'],
    group: 'Running',
    type: durationType(1, 3600),
    standard: '25s',
    presets: { local: '10s' },
    help: 'From SIGTERM to the end at most, DRAIN_DELAY included. Keep it below terminationGracePeriodSeconds.',
  }),
  debug: setting({
    names: ['DEBUG'],
    group: 'Running',
    type: switchType,
    standard: 'false',
    help: 'The same as LOG_LEVEL debug where LOG_LEVEL is not set.',
  }),
  logLevel: setting({
    names: ['LOG_LEVEL'],
    group: 'Running',
    type: choiceType(['trace', 'debug', 'info', 'warn', 'warning', 'error', 'fatal', 'silent']),
    standard: 'info',
    presets: { development: 'debug', staging: 'debug', debug: 'debug' },
    help: 'The least severe lines that are logged, in any case.',
  }),
  logFormat: setting({
    names: ['LOG_FORMAT'],
    group: 'Running',
    type: choiceType(['auto', 'json', 'text']),
    standard: 'auto',
    help: '`auto`: text on a terminal, else JSON.',
  }),
} as const;

export type SettingKey = keyof typeof settings;
export type SettingValues = {
  readonly [K in SettingKey]: (typeof settings)[K] extends Setting<infer T> ? T : never;
};
