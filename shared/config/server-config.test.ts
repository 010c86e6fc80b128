import { mkdtempSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import { ProgramFault } from '#shared/base/program-fault.ts';
import { dataPaths, loadServerConfig, type ConfigSources } from './server-config.ts';
import { settings } from './settings.ts';

const database = 'postgres://mail:sesame@db:5432/mail';

function load(environment: Record<string, string>, more: Partial<ConfigSources> = {}) {
  return loadServerConfig({ environment: { DATABASE_URL: database, ...environment }, isLocal: false, ...more });
}

function faultOf(run: () => unknown): ProgramFault {
  try {
    run();
  } catch (error) {
    if (error instanceof ProgramFault) return error;
    throw error;
  }
  throw new Error('no fault');
}

test('the standard ports are the defaults', () => {
  const { config } = load({});
  expect(config).toMatchObject({
    developmentMode: false,
    imapHost: '0.0.0.0',
    imapPort: 143,
    imapSslPort: 993,
    imapUseSsl: false,
    smtpReceiveHost: '0.0.0.0',
    smtpReceivePort: 25,
    smtpReceiveSslPort: 465,
    smtpReceiveUseSsl: false,
    submissionPort: 587,
    httpPort: 8080,
    maxMessageBytes: 50 * 1024 * 1024,
    drainDelaySeconds: 10,
    logLevel: 'info',
    roles: ['mx', 'submission', 'outbound', 'imap', 'http', 'janitor'],
  });
});

test.each([
  ['DEVELOPMENT_MODE', 'true', 'developmentMode', true],
  ['IMAP_HOST', '127.0.0.2', 'imapHost', '127.0.0.2'],
  ['IMAP_PORT', '1143', 'imapPort', 1143],
  ['IMAP_USE_SSL', 'true', 'imapUseSsl', true],
  ['IMAP_SSL_PORT', '1993', 'imapSslPort', 1993],
  ['SMTP_RECEIVE_HOST', '::', 'smtpReceiveHost', '::'],
  ['SMTP_RECEIVE_PORT', '1025', 'smtpReceivePort', 1025],
  ['SMTP_RECEIVE_USE_SSL', 'yes', 'smtpReceiveUseSsl', true],
  ['SMTP_RECEIVE_SSL_PORT', '1465', 'smtpReceiveSslPort', 1465],
  ['SUBMISSION_PORT', 'off', 'submissionPort', null],
  ['MAX_MESSAGE_SIZE', '25Mi', 'maxMessageBytes', 25 * 1024 * 1024],
  ['DRAIN_DELAY', '500ms', 'drainDelaySeconds', 0.5],
  ['LOG_LEVEL', 'WARNING', 'logLevel', 'warning'],
  ['PROCESSES', '3', 'processes', 3],
  ['ROLES', 'imap, janitor', 'roles', ['imap', 'janitor']],
  ['POSTRIDER_IMAP_PORT', '1144', 'imapPort', 1144],
] as const)('%s=%s is honoured', (name, text, key, value) => {
  expect(load({ [name]: text }).config[key]).toEqual(value);
});

test('every setting parses its own standard and presets', () => {
  for (const [key, row] of Object.entries(settings)) {
    for (const text of [row.standard, ...Object.values(row.presets ?? {})]) {
      expect(row.type.parse(text), `${key}: ${text}`).toMatchObject({ ok: true });
    }
  }
});

test('all faults are reported at once, each with what to write instead', () => {
  const fault = faultOf(() =>
    load({ IMAP_PORT: '70000', MAX_MESSAGE_SIZE: 'big', LOG_LEVEL: 'loud', POSTRIDER_IMAP_PROT: '1', ROLES: 'smtp' }),
  );
  expect(fault.exitCode).toBe(78);
  expect(fault.message.split('\n')).toEqual([
    'the configuration has 5 faults:',
    '  POSTRIDER_IMAP_PROT: there is no such setting; write POSTRIDER_IMAP_PORT',
    '  ROLES: "smtp" is not usable; write all, or some of mx, submission, outbound, imap, http, janitor with commas between them',
    '  IMAP_PORT: "70000" is not usable; write a port from 1 to 65535, 0 for any free one, or off',
    '  MAX_MESSAGE_SIZE: "big" is not usable; write a size from 64Ki to 1Gi, such as 25Mi',
    '  LOG_LEVEL: "loud" is not usable; write one of trace, debug, info, warn, warning, error, fatal, silent',
  ]);
});

test('without a database only the local mode starts', () => {
  const fault = faultOf(() => loadServerConfig({ environment: {}, isLocal: false }));
  expect(fault.message).toContain('DATABASE_URL: not set; write postgres://');
  expect(loadServerConfig({ environment: {}, isLocal: true }).config.databaseUrl).toBeNull();
});

test('the local mode listens on loopback, on ports that anyone may open', () => {
  const { config } = loadServerConfig({ environment: {}, isLocal: true });
  expect(config).toMatchObject({
    imapHost: '127.0.0.1',
    smtpReceiveHost: '127.0.0.1',
    httpHost: '127.0.0.1',
    smtpReceivePort: 2525,
    submissionPort: 2587,
    smtpReceiveSslPort: 2465,
    imapPort: 2143,
    imapSslPort: 2993,
    httpPort: 8080,
    manifestsDirectory: './examples',
    drainDelaySeconds: 0,
    developmentMode: false,
  });
});

test('the environment wins over the env file, the file over the defaults', () => {
  const file = { name: 'mail.env', values: { IMAP_PORT: '1143', HTTP_PORT: '1080' } };
  const { config, printed } = load({ HTTP_PORT: '2080' }, { file });
  expect(config).toMatchObject({ imapPort: 1143, httpPort: 2080 });
  expect(printed).toContainEqual({ name: 'IMAP_PORT', value: '1143', source: 'IMAP_PORT in mail.env' });
  expect(printed).toContainEqual({ name: 'HTTP_PORT', value: '2080', source: 'HTTP_PORT' });
});

test('an unknown name in the env file is a fault', () => {
  const file = { name: 'mail.env', values: { IMAP_PROT: '1143' } };
  expect(faultOf(() => load({}, { file })).message).toContain(
    'IMAP_PROT: there is no such setting; write IMAP_PORT (in mail.env)',
  );
});

test('a near miss among the names of everybody is a warning', () => {
  expect(load({ IMAP_PROT: '1', PATH: '/bin' }).warnings).toEqual([
    'IMAP_PROT in the environment is no setting; did you mean IMAP_PORT?',
  ]);
});

test('variables that Kubernetes makes of Services are not settings', () => {
  const { config, warnings } = load({
    IMAP_PORT: 'tcp://10.0.0.7:143',
    POSTRIDER_SERVICE_HOST: '10.0.0.8',
    POSTRIDER_PORT_25_TCP_ADDR: '10.0.0.8',
    POSTRIDER_PORT: 'tcp://10.0.0.8:25',
  });
  expect(config.imapPort).toBe(143);
  expect(warnings).toEqual([
    'IMAP_PORT was set by Kubernetes for a Service of that name and is ignored; set enableServiceLinks: false in the pod',
  ]);
});

test('a secret comes from the file that NAME_FILE names', () => {
  const file = path.join(mkdtempSync(path.join(os.tmpdir(), 'config-')), 'url');
  writeFileSync(file, `${database}\n`);
  const { config, printed } = loadServerConfig({ environment: { DATABASE_URL_FILE: file }, isLocal: false });
  expect(config.databaseUrl?.reveal()).toBe(database);
  expect(printed.find(({ name }) => name === 'DATABASE_URL')?.source).toBe('DATABASE_URL_FILE');
  expect(
    faultOf(() => loadServerConfig({ environment: { DATABASE_URL_FILE: '/none' }, isLocal: true })).message,
  ).toContain("DATABASE_URL_FILE: /none can't be read (ENOENT)");
});

test('secrets are masked wherever the configuration is printed', () => {
  const loaded = load({});
  expect(JSON.stringify(loaded) + inspect(loaded, { depth: 9 }) + String(loaded.config.databaseUrl)).not.toContain(
    'sesame',
  );
  expect(loaded.printed).toContainEqual({
    name: 'DATABASE_URL',
    value: 'postgres://mail:***@db:5432/mail',
    source: 'DATABASE_URL',
  });
  expect(faultOf(() => load({ DATABASE_URL: 'mysql://x:sesame@y' })).message).not.toContain('sesame');
});

test('development mode moves to loopback and is refused elsewhere unless that is said explicitly', () => {
  expect(load({ DEVELOPMENT_MODE: 'true' }).config).toMatchObject({ imapHost: '127.0.0.1', httpHost: '127.0.0.1' });
  const exposed = { DEVELOPMENT_MODE: 'true', IMAP_HOST: '0.0.0.0' };
  expect(faultOf(() => load(exposed)).message).toContain('refused on IMAP_HOST=0.0.0.0');
  expect(load({ ...exposed, DEVELOPMENT_MODE_EXPOSE: 'true' }).config.imapHost).toBe('0.0.0.0');
});

test('development mode is refused with production settings', () => {
  const fault = faultOf(() => load({ DEVELOPMENT_MODE: 'true', ENVIRONMENT: 'production' }));
  expect(fault.message).toContain('refused with ENVIRONMENT=production');
});

test('ENVIRONMENT and DEBUG change defaults, not what is written', () => {
  expect(load({ ENVIRONMENT: 'staging' }).config.logLevel).toBe('debug');
  expect(load({ ENVIRONMENT: 'development' }).config).toMatchObject({ logLevel: 'debug', drainDelaySeconds: 0 });
  expect(load({ ENVIRONMENT: 'production' }).config.logLevel).toBe('info');
  expect(load({ DEBUG: '1' }).config.logLevel).toBe('debug');
  expect(load({ DEBUG: '1', LOG_LEVEL: 'error' }).config.logLevel).toBe('error');
});

test('settings that contradict each other are faults', () => {
  expect(faultOf(() => load({ SSL_KEY_FILE: '/k' })).message).toContain('SSL_KEY_FILE: set without SSL_CERT_FILE');
  expect(faultOf(() => load({ DRAIN_DELAY: '30s' })).message).toContain('DRAIN_DELAY: 30s leaves nothing');
  expect(faultOf(() => load({ IMAP_PORT: '8080' })).message).toContain('HTTP_PORT: 8080 is IMAP_PORT already');
});

test('SSL_CERT_FILE alone is meant for OpenSSL, and ignored', () => {
  const { config, warnings } = load({ SSL_CERT_FILE: '/etc/ssl/certs/ca-certificates.crt' });
  expect(config.sslCertFile).toBeNull();
  expect(warnings).toEqual(['SSL_CERT_FILE is ignored without SSL_KEY_FILE']);
});

test('an empty value counts as not set', () => {
  expect(load({ IMAP_PORT: '', ROLES: ' ' }).config).toMatchObject({ imapPort: 143 });
});

test('files lie below DATA_DIR unless named', () => {
  expect(dataPaths(load({ DATA_DIR: '/var/lib/postrider', KEYRING_FILE: '/run/keys' }).config)).toEqual({
    directory: '/var/lib/postrider',
    keyring: '/run/keys',
    spool: '/var/lib/postrider/spool',
    secrets: '/var/lib/postrider/secrets',
    tls: '/var/lib/postrider/tls',
  });
});

test('--processes goes before the environment; auto is one a processor', () => {
  const { config, printed } = load({ PROCESSES: '3' }, { processes: 'auto' });
  expect(config.processes).toBe(Math.min(64, os.availableParallelism()));
  expect(printed).toContainEqual({ name: 'PROCESSES', value: String(config.processes), source: '--processes' });
  expect(faultOf(() => load({}, { processes: '0' })).message).toContain('--processes: "0" is not usable');
});
