/** The configuration of a server: the table of settings.ts, and what must fit together. */
import path from 'node:path';
import { configFault, loadSettings, type LoadedSettings, type SettingSources } from './load-settings.ts';
import type { Preset } from './setting.ts';
import { settings, type SettingValues } from './settings.ts';

export type ServerConfig = SettingValues & {
  /** A file that DATABASE_URL was read from: read again for each new connection, so that its password can be rotated. */
  readonly databaseUrlFile: string | null;
  /** On a laptop: loopback, high ports, a Postgres of its own unless DATABASE_URL names one. */
  readonly isLocal: boolean;
};

export type ConfigSources = SettingSources & {
  /** What `--processes` said; it goes before the environment. */
  readonly processes?: string | undefined;
  readonly isLocal: boolean;
};

export type LoadedConfig = Pick<LoadedSettings, 'printed'> & {
  readonly config: ServerConfig;
  /** Things that are probably mistakes and do no harm. */
  readonly warnings: readonly string[];
};

/** Throws ProgramFault 78 that names every fault, with what to write instead. */
export function loadServerConfig(sources: ConfigSources): LoadedConfig {
  const { processes, isLocal } = sources;
  const { values, files, printed, warnings, faults } = loadSettings(settings, sources, {
    options: { processes: processes === undefined ? undefined : { text: processes, source: '--processes' } },
    presetsOf: (earlier) => presetsOf(earlier, isLocal),
  });
  // OpenSSL reads SSL_CERT_FILE too, as the authorities that clients trust: alone it is not meant for us.
  if (values['sslKeyFile'] === null && values['sslCertFile'] !== null) {
    values['sslCertFile'] = null;
    if (!isLocal) warnings.push('SSL_CERT_FILE is ignored without SSL_KEY_FILE');
  }
  const config = { ...(values as SettingValues), databaseUrlFile: files['databaseUrl'] ?? null, isLocal };
  if (faults.length === 0) checkTogether(config, faults);
  if (faults.length > 0) {
    const hint = '`postrider config` prints what is in force, docs/configuration.md describes each setting.';
    throw configFault(faults, hint);
  }
  return { config, printed, warnings };
}

/** The presets that hold, weakest first. ENVIRONMENT, DEVELOPMENT_MODE and DEBUG come before what depends on them. */
function presetsOf(
  values: Readonly<Record<string, unknown>>,
  isLocal: boolean,
): readonly (readonly [Preset, string])[] {
  const environment = values['environment'] as SettingValues['environment'] | undefined;
  return [
    ...(environment === 'development' || environment === 'staging'
      ? ([[environment, `ENVIRONMENT=${environment}`]] as const)
      : []),
    ...(values['debug'] === true ? ([['debug', 'DEBUG']] as const) : []),
    ...(values['developmentMode'] === true ? ([['developmentMode', 'DEVELOPMENT_MODE']] as const) : []),
    ...(isLocal ? ([['local', '--local']] as const) : []),
  ];
}

function checkTogether(config: ServerConfig, faults: string[]): void {
  if (config.databaseUrl === null && !config.isLocal) {
    faults.push(
      'DATABASE_URL: not set; write postgres://user:password@host:5432/database, or use `postrider run --local` for a Postgres of its own',
    );
  }
  if (config.sslKeyFile !== null && config.sslCertFile === null) {
    faults.push('SSL_KEY_FILE: set without SSL_CERT_FILE; set both, or none for a self-signed certificate');
  }
  const everybody = config.proxyProtocolNetworks.filter((network) => network.endsWith('/0'));
  if (everybody.length > 0) {
    faults.push(
      `PROXY_PROTOCOL_NETWORKS: ${everybody.join(',')} is everybody, and everybody could claim any address; write the load balancers’ own networks`,
    );
  }
  if (config.drainDelaySeconds >= config.graceSeconds) {
    faults.push(
      `DRAIN_DELAY: ${config.drainDelaySeconds}s leaves nothing of GRACE_PERIOD ${config.graceSeconds}s for running work; write a shorter one`,
    );
  }
  if (config.oauthIssuer !== null && config.oauthAudience === null) {
    faults.push('OAUTH_AUDIENCE: not set, but OAUTH_ISSUER is; write what the tokens for this server have as `aud`');
  }
  checkPorts(config, faults);
  if (config.developmentMode) checkDevelopmentMode(config, faults);
}

function checkDevelopmentMode(config: ServerConfig, faults: string[]): void {
  if (config.environment === 'production') {
    faults.push(
      'DEVELOPMENT_MODE: accepts any password, so it is refused with ENVIRONMENT=production; remove one of them',
    );
  }
  const exposed = (['imapHost', 'smtpReceiveHost', 'httpHost'] as const).filter((key) => !isLoopback(config[key]));
  if (exposed.length > 0 && !config.developmentModeExpose) {
    const names = exposed.map((key) => `${settings[key].names[0]}=${config[key]}`).join(', ');
    faults.push(
      `DEVELOPMENT_MODE: accepts any password, so it is refused on ${names}; listen on 127.0.0.1, or write DEVELOPMENT_MODE_EXPOSE=true`,
    );
  }
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

function checkPorts(config: ServerConfig, faults: string[]): void {
  const portKeys = [
    'imapPort',
    'imapSslPort',
    'smtpReceivePort',
    'submissionPort',
    'smtpReceiveSslPort',
    'httpPort',
    'acmeHttpPort',
  ] as const;
  const seen = new Map<number, string>();
  for (const key of portKeys) {
    const port = config[key];
    const name = settings[key].names[0];
    if (port === null || port === 0) continue;
    const other = seen.get(port);
    if (other !== undefined) faults.push(`${name}: ${port} is ${other} already; write another port, or off`);
    seen.set(port, name);
  }
}

/** Files below DATA_DIR, absolute. */
export function dataPaths(config: ServerConfig) {
  const directory = path.resolve(config.dataDirectory);
  return {
    directory,
    keyring: path.resolve(config.keyringFile ?? path.join(directory, 'keyring')),
    spool: path.resolve(config.spoolDirectory ?? path.join(directory, 'spool')),
    secrets: path.join(directory, 'secrets'),
    tls: path.join(directory, 'tls'),
  } as const;
}
