/**
 * Makes the parts of a server in the order in which they need each other, and closes them in the opposite order.
 * It and mail-service.ts alone know the implementations. Tests use it to run servers in their own process.
 */
import path from 'node:path';
import { dataPaths, type ServerConfig } from '#shared/config/server-config.ts';
import { createDatabase, type PostgresDatabase } from '#shared/db/client.ts';
import { untilAvailable } from '#shared/db/await-schema.ts';
import { checkSchema, migrate } from '#shared/db/migrate.ts';
import { openKeyringOf } from '#shared/directory/credentials.ts';
import type { Keyring } from '#shared/directory/keyring.ts';
import { Health } from '#shared/observe/health.ts';
import type { Logger } from '#shared/observe/logger.ts';
import { createMetrics, type Metrics } from '#shared/observe/metrics.ts';
import { DatabaseWatch } from '#shared/db/database-watch.ts';
import { startEmbeddedPostgres } from './embedded/embedded-postgres.ts';
import type { Foundation } from './foundation.ts';
import { openInstance } from './instance-service.ts';
import { ClientAddresses } from './instance/client-addresses.ts';
import { HttpServer } from '#shared/http/http-server.ts';
import { drain, type Drainable } from './lifecycle.ts';
import { planListeners, type ListenerName, type PlannedListener } from './listener-plan.ts';
import { openMailService, type MailService } from './mail-service.ts';
import { followManifests } from './manifests/follow.ts';
import type { ManifestSummary } from './manifests/summary.ts';
import { tellLimits } from './process-limits.ts';
import { serverInfo, type ServerInfo } from './server-info.ts';
import { servingConfig, supervisorConfig } from './processes/division.ts';
import { ProcessGroup } from './processes/process-group.ts';
import { CertificateRows } from './tls/certificate-rows.ts';
import { Certificate, selfSignedFiles } from './tls/certificate.ts';
import { ticketKeysOfDay } from './tls/ticket-keys.ts';
import { listenFault } from '#shared/process/listen-fault.ts';
import { version } from '#shared/process/version.ts';

export type StartOptions = Pick<Foundation, 'config' | 'logger' | 'clock'> & {
  /** One of several processes of a server, whose supervisor has told what they need together. */
  readonly isOneOfSeveral?: boolean;
  /** Aborted: what would still be waited for at the start (MIGRATIONS=await) is not; starting rejects with its reason. */
  readonly stopping?: AbortSignal;
};

/** A server that is ready. Disposing closes it without a drain: connections are dropped. */
export interface RunningServer extends AsyncDisposable {
  readonly logger: Logger;
  /** The ports in fact, where the configuration said 0; a listener that is not open is not there. */
  readonly ports: ReadonlyMap<ListenerName, number>;
  /** What the manifests made at the start, with passwords; null: no folder of manifests is followed. */
  readonly manifests: ManifestSummary | null;
  readonly health: Health;
  readonly metrics: Metrics;
  /** Not ready, drains (in GRACE_PERIOD where nothing else is said), closes; resolves when nothing is open any more. */
  stop(graceMs?: number): Promise<void>;
  /** Ends what would not notice at once that this process was killed. */
  abandon(): void;
}

/** Resolves when the server is ready; ProgramFault where it can't start, with everything closed again. */
export async function startServer(options: StartOptions): Promise<RunningServer> {
  await using stack = new AsyncDisposableStack();
  const config = supervisorConfig(options.config);
  const health = new Health();
  const metrics = createMetrics({ process: true });
  const { logger, clock } = options;
  const foundation: Foundation = { config, logger, clock, health, metrics, stack };
  const planned = planListeners(config);
  health.require('database', 'not seen yet');
  health.require('listeners', 'not open yet');

  const ports = new Map<ListenerName, number>();
  const shown: Shown = { database: null, group: null };
  await openHttp(foundation, planned, ports, { info: serverInfo(options.config), print: () => print(shown, metrics) });
  const { url, database } = await openDatabase(foundation, options.stopping);
  shown.database = database;
  if (options.isOneOfSeveral !== true) await tellLimits(options.config, database, logger);
  const keyring = await openDatabaseKeyring(foundation, database);
  const manifests = await applyManifests(foundation, database, keyring);
  const certificate = await openCertificate(foundation, planned, { database, keyring });
  const clients = new ClientAddresses();
  const mail = await openMailService(foundation, { database, keyring, tls: certificate.context, clients });
  shown.group = config.processes > 1 ? await openGroup(foundation, options.config, url, ports) : null;
  const opened = shown.group ? [shown.group] : await openListeners(foundation, planned, mail, ports);
  const listeners = mail.outbound ? [...opened, mail.outbound] : opened;
  health.meet('listeners');
  if (options.isOneOfSeveral !== true)
    await openInstance({ ...foundation, config: options.config }, { database, mail, clients });
  tellMode(foundation);
  logger.info({ event: 'server.ready', version, ports: Object.fromEntries(ports) }, 'ready');
  const abandon = (): void => shown.group?.killAll();
  return runningServer({ ...foundation, stack: stack.move() }, { ports, manifests, listeners, abandon });
}

type Opened = Pick<RunningServer, 'ports' | 'manifests' | 'abandon'> & { readonly listeners: readonly Drainable[] };

function runningServer(
  { config, logger, clock, health, metrics, stack }: Foundation,
  { listeners, ports, manifests, abandon }: Opened,
): RunningServer {
  const drainDelayMs = config.drainDelaySeconds * 1000;
  return {
    logger,
    ports,
    manifests,
    health,
    metrics,
    abandon,
    async stop(graceMs = config.graceSeconds * 1000) {
      await drain({ health, listeners, drainDelayMs, graceMs, clock, logger });
      await stack.disposeAsync();
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(listeners.map((listener) => listener.stop(0)));
      await stack.disposeAsync();
    },
  };
}

/** What metrics are looked up in, once it is there. */
type Shown = { database: PostgresDatabase | null; group: ProcessGroup | null };

function print({ database, group }: Shown, metrics: Metrics): Promise<string> {
  if (database !== null) samplePool(database, metrics);
  return group === null ? metrics.registry.metrics() : group.printMetrics();
}

/** First of all, so that probes are answered while the rest starts. */
async function openHttp(
  { logger, health, stack }: Foundation,
  planned: readonly PlannedListener[],
  ports: Map<ListenerName, number>,
  { info, print: printMetrics }: { readonly info: ServerInfo; readonly print: () => Promise<string> },
): Promise<void> {
  const plan = planned.find(({ name }) => name === 'http');
  if (plan === undefined) return;
  const { host, port } = plan;
  const explain = (error: Error): Error => listenFault(error, { name: 'HTTP', host, port });
  const http = await HttpServer.open({ host, port, health, printMetrics, info, logger, explain });
  ports.set('http', stack.use(http).port);
}

function samplePool(database: PostgresDatabase, metrics: Metrics): void {
  for (const [state, count] of Object.entries(database.counts())) metrics.databaseConnections.set({ state }, count);
}

/** The database of the configuration, else one of our own, with a schema that we can work with. */
async function openDatabase(
  foundation: Foundation,
  stopping: AbortSignal | undefined,
): Promise<{ readonly url: string; readonly database: PostgresDatabase }> {
  const { config, logger, health, metrics, stack } = foundation;
  const url =
    config.databaseUrl?.reveal() ??
    stack.use(await startEmbeddedPostgres({ directory: dataPaths(config).directory, logger })).url;
  const database = stack.use(
    createDatabase({
      url,
      urlFile: config.databaseUrlFile,
      maxConnections: config.databasePoolSize,
      onConnectionError: (err) => {
        // In the end connections are cut by those who close them.
        const level = health.report().state === 'stopping' ? 'debug' : 'warn';
        logger[level]({ event: 'db.connection-lost', err }, 'a database connection was lost');
      },
    }),
  );
  await (config.migrations === 'await'
    ? awaitSchema(foundation, database, stopping)
    : applyMigrations(database, logger));
  health.meet('database');
  stack.use(new DatabaseWatch({ database, health, metrics, logger, everyMs: databaseWatchMs }));
  return { url, database };
}

async function applyMigrations(database: PostgresDatabase, logger: Logger): Promise<void> {
  const applied = await migrate(database);
  if (applied.length > 0)
    logger.info({ event: 'db.migrated', migrations: applied }, 'the schema was brought up to date');
}

function awaitSchema(
  { health, logger }: Foundation,
  database: PostgresDatabase,
  stopping: AbortSignal = new AbortController().signal,
): Promise<void> {
  return untilAvailable(() => checkSchema(database), {
    signal: stopping,
    onWait: (reason) => {
      health.require('database', reason);
      logger.warn({ event: 'db.awaited', reason }, 'waiting for the database');
    },
  });
}

/** A short time of unavailability is soon over, and nothing depends on knowing it sooner. */
const databaseWatchMs = 2_000;

/** No keyring, no start: what is sealed in the database would be lost to us, and nothing may be sealed with another. */
function openDatabaseKeyring({ config }: Foundation, database: PostgresDatabase): Promise<Keyring> {
  const mayCreate = config.isLocal && config.keyringFile === null;
  return openKeyringOf(database.db, dataPaths(config).keyring, mayCreate);
}

async function applyManifests(
  foundation: Foundation,
  database: PostgresDatabase,
  keyring: Keyring,
): Promise<ManifestSummary | null> {
  const { config, logger, metrics, stack } = foundation;
  if (config.manifestsDirectory === null) return null;
  const followed = await followManifests({
    db: database.db,
    keyring,
    logger,
    metrics,
    manifestsFolder: path.resolve(config.manifestsDirectory),
    secretsFolder: dataPaths(config).secrets,
  });
  return stack.use(followed).summary;
}

async function openCertificate(
  { config, logger, clock, metrics, stack }: Foundation,
  planned: readonly PlannedListener[],
  { database, keyring }: { readonly database: PostgresDatabase; readonly keyring: Keyring },
): Promise<Certificate> {
  const { sslCertFile, sslKeyFile, hostname } = config;
  const directory = dataPaths(config).tls;
  const certificate = await Certificate.open({
    files: sslCertFile !== null && sslKeyFile !== null ? { certificate: sslCertFile, privateKey: sslKeyFile } : null,
    isLastResort: sslCertFile === selfSignedFiles(directory).certificate,
    directory,
    names: config.isLocal ? ['localhost', ...(hostname === 'localhost' ? [] : [hostname]), '127.0.0.1'] : [hostname],
    ticketKeys: ticketKeysOfDay(keyring, clock),
    clock,
    logger,
    metrics,
  });
  stack.use(certificate);
  if (planned.some(({ name }) => name !== 'http')) {
    stack.use(await CertificateRows.open({ database, keyring, clock, logger, changed: certificate.takeNamed }));
  }
  return certificate;
}

/** The processes that serve, where this one does not. */
async function openGroup(
  { health, metrics, logger, clock, stack }: Foundation,
  config: ServerConfig,
  databaseUrl: string,
  ports: Map<ListenerName, number>,
): Promise<ProcessGroup> {
  const { sslCertFile, sslKeyFile } = config;
  const given = sslCertFile !== null && sslKeyFile !== null;
  const certificate = given
    ? { certificate: sslCertFile, privateKey: sslKeyFile }
    : selfSignedFiles(dataPaths(config).tls);
  const group = await ProcessGroup.open({
    count: config.processes,
    program: servingProgram,
    config: servingConfig(config, { databaseUrl, certificate }),
    health,
    metrics,
    logger,
    clock,
  });
  for (const [name, port] of group.ports) ports.set(name as ListenerName, port);
  return stack.use(group);
}

const servingProgram = path.join(import.meta.dirname, 'serving-program.ts');

async function openListeners(
  { stack }: Foundation,
  planned: readonly PlannedListener[],
  mail: MailService,
  ports: Map<ListenerName, number>,
): Promise<readonly Drainable[]> {
  const opened: Drainable[] = [];
  for (const plan of planned) {
    if (plan.name === 'http') continue;
    const listener = await mail.open(plan);
    // Where a later one can't be opened, this one is closed again; after a drain there is nothing left to close.
    stack.defer(() => listener.stop(0));
    opened.push(listener);
    ports.set(plan.name, listener.port);
  }
  return opened;
}

function tellMode({ config, logger, metrics }: Foundation): void {
  metrics.info.set({ version, development: String(config.developmentMode) }, 1);
  if (config.developmentMode) {
    logger.warn(
      { event: 'server.development-mode', dev: true },
      'DEVELOPMENT MODE: any name of a local domain logs in with any password; not for mail that matters',
    );
  }
}
