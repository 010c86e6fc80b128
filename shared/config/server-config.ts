/**
 * The configuration in force: for each setting the environment, else the env file, else the defaults of a mode,
 * else the standard. All that is wrong is reported at once.
 */
import path from 'node:path';
import { ProgramFault } from '#shared/base/program-fault.ts';
import { readConfiguredFile, type Environment } from './environment.ts';
import { nearest } from './near-miss.ts';
import type { Preset, Setting } from './setting.ts';
import { settings, type SettingKey, type SettingValues } from './settings.ts';

export type ServerConfig = SettingValues & {
  /** On a laptop: loopback, high ports, a Postgres of its own unless DATABASE_URL names one. */
  readonly isLocal: boolean;
};

export type ConfigSources = {
  readonly environment: Environment;
  /** What `--processes` said; it goes before the environment. */
  readonly processes?: string | undefined;
  /** What `--config` named, with its name for messages. */
  readonly file?: { readonly name: string; readonly values: Environment };
  readonly isLocal: boolean;
};

export type LoadedConfig = {
  readonly config: ServerConfig;
  /** For each setting, what is in force as it would be written (secrets masked), and where it comes from. */
  readonly printed: readonly { readonly name: string; readonly value: string; readonly source: string }[];
  /** Things that are probably mistakes and do no harm. */
  readonly warnings: readonly string[];
};

type Given = { readonly text: string; readonly source: string };

const prefix = 'POSTRIDER_';
const keys = Object.keys(settings) as SettingKey[];
const anySetting = (key: SettingKey): Setting<unknown> => settings[key];
const namesOf = (row: Setting<unknown>): readonly string[] => [
  ...row.names,
  ...(row.isSecret ? row.names.map((name) => `${name}_FILE`) : []),
];
const knownNames: readonly string[] = keys.flatMap((key) => namesOf(anySetting(key)));

/** Kubernetes tells every pod of every Service in such variables; `imap` as a Service's name gives IMAP_PORT. */
const serviceLinkValue = /^(?:tcp|udp|sctp):\/\//;
const serviceLinkName = /_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)$/;

/** Throws ProgramFault 78 that names every fault, with what to write instead. */
export function loadServerConfig(sources: ConfigSources): LoadedConfig {
  const faults: string[] = [];
  const warnings: string[] = [];
  checkNames(sources, faults, warnings);
  const values: Record<string, unknown> = {};
  const printed: { name: string; value: string; source: string }[] = [];
  for (const key of keys) {
    const row = anySetting(key);
    const given =
      optionOf(key, sources) ?? findGiven(row, sources, faults) ?? standardOf(row, presetsOf(values, sources));
    const parsed = row.type.parse(given.text);
    if (parsed.ok) {
      values[key] = parsed.value;
      printed.push({ name: row.names[0], value: row.type.print(parsed.value), source: given.source });
    } else {
      const shown = row.isSecret ? 'its value' : JSON.stringify(given.text);
      faults.push(`${given.source}: ${shown} is not usable; write ${parsed.write}`);
    }
  }
  // OpenSSL reads SSL_CERT_FILE too, as the authorities that clients trust: alone it is not meant for us.
  if (values['sslKeyFile'] === null && values['sslCertFile'] !== null) {
    values['sslCertFile'] = null;
    if (!sources.isLocal) warnings.push('SSL_CERT_FILE is ignored without SSL_KEY_FILE');
  }
  const config = { ...(values as SettingValues), isLocal: sources.isLocal };
  if (faults.length === 0) checkTogether(config, faults);
  if (faults.length > 0) throw configFault(faults);
  return { config, printed, warnings };
}

function configFault(faults: readonly string[]): ProgramFault {
  const count = faults.length === 1 ? 'a fault' : `${faults.length} faults`;
  return new ProgramFault(
    78,
    `the configuration has ${count}:\n${faults.map((fault) => `  ${fault}`).join('\n')}`,
    'Correct the lines above; `postrider config` prints what is in force, docs/configuration.md describes each setting.',
  );
}

function optionOf(key: SettingKey, { processes }: ConfigSources): Given | null {
  return key === 'processes' && processes !== undefined ? { text: processes, source: '--processes' } : null;
}

function findGiven(row: Setting<unknown>, sources: ConfigSources, faults: string[]): Given | null {
  const fromEnvironment = lookUp(row, sources.environment, '', faults);
  if (fromEnvironment !== null) return fromEnvironment;
  return sources.file ? lookUp(row, sources.file.values, ` in ${sources.file.name}`, faults) : null;
}

function lookUp(row: Setting<unknown>, values: Environment, where: string, faults: string[]): Given | null {
  for (const plain of row.names) {
    for (const name of [prefix + plain, plain]) {
      const text = values[name]?.trim() ?? '';
      if (text !== '' && !serviceLinkValue.test(text)) return { text, source: name + where };
      const file = row.isSecret ? (values[`${name}_FILE`]?.trim() ?? '') : '';
      if (file !== '') return readSecretFile(file, `${name}_FILE${where}`, faults);
    }
  }
  return null;
}

function readSecretFile(file: string, source: string, faults: string[]): Given | null {
  try {
    return { text: readConfiguredFile(file, source).trim(), source };
  } catch (error) {
    if (!(error instanceof ProgramFault)) throw error;
    faults.push(`${error.message}; ${error.hint}`);
    return null;
  }
}

/** The presets that hold, weakest first. ENVIRONMENT, DEVELOPMENT_MODE and DEBUG come before what depends on them. */
function presetsOf(values: Record<string, unknown>, sources: ConfigSources): readonly (readonly [Preset, string])[] {
  const environment = values['environment'] as SettingValues['environment'] | undefined;
  return [
    ...(environment === 'development' || environment === 'staging'
      ? ([[environment, `ENVIRONMENT=${environment}`]] as const)
      : []),
    ...(values['debug'] === true ? ([['debug', 'DEBUG']] as const) : []),
    ...(values['developmentMode'] === true ? ([['developmentMode', 'DEVELOPMENT_MODE']] as const) : []),
    ...(sources.isLocal ? ([['local', '--local']] as const) : []),
  ];
}

function standardOf(row: Setting<unknown>, presets: readonly (readonly [Preset, string])[]): Given {
  let given: Given = { text: row.standard, source: 'default' };
  for (const [preset, source] of presets) {
    const text = row.presets?.[preset];
    if (text !== undefined) given = { text, source };
  }
  return given;
}

/** Names that mean us and that we don't know are faults; near misses among everybody's names are warnings. */
function checkNames(sources: ConfigSources, faults: string[], warnings: string[]): void {
  for (const [name, value] of Object.entries(sources.environment)) {
    if (serviceLinkName.test(name)) continue;
    if (serviceLinkValue.test(value ?? '')) {
      if (knownNames.includes(withoutPrefix(name))) warnings.push(serviceLinkWarning(name));
    } else if (name.startsWith(prefix)) {
      const fault = unknownName(name);
      if (fault !== null) faults.push(fault);
    } else if (name.length > 5 && !knownNames.includes(name)) {
      const meant = nearest(name, knownNames, 1);
      if (meant !== null) warnings.push(`${name} in the environment is no setting; did you mean ${meant}?`);
    }
  }
  for (const name of Object.keys(sources.file?.values ?? {})) {
    const fault = unknownName(name);
    if (fault !== null) faults.push(`${fault} (in ${sources.file?.name})`);
  }
}

function withoutPrefix(name: string): string {
  return name.startsWith(prefix) ? name.slice(prefix.length) : name;
}

function unknownName(name: string): string | null {
  const plain = withoutPrefix(name);
  if (knownNames.includes(plain)) return null;
  const meant = nearest(plain, knownNames, 3);
  const kept = name.startsWith(prefix) ? prefix : '';
  return `${name}: there is no such setting; ${meant === null ? 'remove it' : `write ${kept}${meant}`}`;
}

function serviceLinkWarning(name: string): string {
  return `${name} was set by Kubernetes for a Service of that name and is ignored; set enableServiceLinks: false in the pod`;
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
