/**
 * Makes the parts of a server in the order in which they need each other, and closes them in the opposite order.
 * It and mail-service.ts alone know the implementations. Tests use it to run servers in their own process.
 */
import path from 'node:path';
import { dataPaths, type ServerConfig } from '#shared/config/server-config.ts';
import { createDatabase, type PostgresDatabase } from '#shared/db/client.ts';
import { migrate } from '#shared/db/migrate.ts';
import { openKeyringOf } from '#shared/directory/credentials.ts';
import { Health } from '#shared/observe/health.ts';
import { createMetrics, type Metrics } from '#shared/observe/metrics.ts';
import { DatabaseWatch } from './database-watch.ts';
import { startEmbeddedPostgres } from './embedded/embedded-postgres.ts';
import type { Foundation } from './foundation.ts';
import { HttpServer, type ServerInfo } from './http/http-server.ts';
import { drain, type Drainable } from './lifecycle.ts';
import { planListeners, type ListenerName, type PlannedListener } from './listener-plan.ts';
import { openMailService, type MailService } from './mail-service.ts';
import { followManifests } from './manifests/follow.ts';
import type { ManifestSummary } from './manifests/summary.ts';
import { Certificate } from './tls/certificate.ts';
import { version } from './version.ts';
import { listenFault } from './wire/listener.ts';

export type StartOptions = Pick<Foundation, 'config' | 'logger' | 'clock'>;

/** A server that is ready. Disposing closes it without a drain: connections are dropped. */
export interface RunningServer extends AsyncDisposable {
  /** The ports in fact, where the configuration said 0; a listener that is not open is not there. */
  readonly ports: ReadonlyMap<ListenerName, number>;
  /** What the manifests made at the start, with passwords; null: no folder of manifests is followed. */
  readonly manifests: ManifestSummary | null;
  readonly health: Health;
  readonly metrics: Metrics;
  /** Not ready, drains, closes; resolves when nothing is open any more. */
  stop(): Promise<void>;
}

/** Resolves when the server is ready; ProgramFault where it can't start, with everything closed again. */
export async function startServer(options: StartOptions): Promise<RunningServer> {
  await using stack = new AsyncDisposableStack();
  const health = new Health();
  const metrics = createMetrics({ process: true });
  const foundation: Foundation = { ...options, health, metrics, stack };
  const planned = planListeners(options.config);
  health.require('database', 'not seen yet');
  health.require('listeners', 'not open yet');

  const ports = new Map<ListenerName, number>();
  let database: PostgresDatabase | null = null;
  await openHttp(foundation, planned, ports, () => samplePool(database, metrics));
  database = await openDatabase(foundation);
  const manifests = await applyManifests(foundation, database);
  const certificate = await openCertificate(foundation);
  const mail = await openMailService(foundation, database, certificate.context);
  const listeners = await openListeners(foundation, planned, mail, ports);
  health.meet('listeners');
  tellMode(foundation);
  options.logger.info({ event: 'server.ready', version, ports: Object.fromEntries(ports) }, 'ready');
  return runningServer({ ...foundation, stack: stack.move() }, { ports, manifests, listeners });
}

type Opened = Pick<RunningServer, 'ports' | 'manifests'> & { readonly listeners: readonly Drainable[] };

function runningServer(
  { config, logger, clock, health, metrics, stack }: Foundation,
  { listeners, ports, manifests }: Opened,
): RunningServer {
  const drainDelayMs = config.drainDelaySeconds * 1000;
  const graceMs = config.graceSeconds * 1000;
  return {
    ports,
    manifests,
    health,
    metrics,
    async stop() {
      await drain({ health, listeners, drainDelayMs, graceMs, clock, logger });
      await stack.disposeAsync();
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(listeners.map((listener) => listener.stop(0)));
      await stack.disposeAsync();
    },
  };
}

/** First of all, so that probes are answered while the rest starts. */
async function openHttp(
  { config, logger, health, metrics, stack }: Foundation,
  planned: readonly PlannedListener[],
  ports: Map<ListenerName, number>,
  sample: () => void,
): Promise<void> {
  const plan = planned.find(({ name }) => name === 'http');
  if (plan === undefined) return;
  const { host, port } = plan;
  const explain = (error: Error): Error => listenFault(error, { name: 'HTTP', host, port });
  const info = serverInfo(config);
  const http = await HttpServer.open({ host, port, health, metrics, sample, info, logger, explain });
  ports.set('http', stack.use(http).port);
}

function samplePool(database: PostgresDatabase | null, metrics: Metrics): void {
  if (database === null) return;
  for (const [state, count] of Object.entries(database.counts())) metrics.databaseConnections.set({ state }, count);
}

function serverInfo(config: ServerConfig): ServerInfo {
  const { developmentMode, roles, maxMessageBytes, maxConnectionsPerAddress } = config;
  return {
    name: 'Postrider',
    version,
    developmentMode,
    roles,
    security: {
      loginNeedsTls: !developmentMode,
      submissionNeedsLogin: !developmentMode,
      anyPasswordAccepted: developmentMode,
      maxMessageBytes,
      maxConnectionsPerAddress,
    },
  };
}

/** The database of the configuration, else one of our own; migrated, so that its schema is ours. */
async function openDatabase({ config, logger, health, metrics, stack }: Foundation): Promise<PostgresDatabase> {
  const url =
    config.databaseUrl?.reveal() ??
    stack.use(await startEmbeddedPostgres({ directory: dataPaths(config).directory, logger })).url;
  const database = stack.use(
    createDatabase({
      url,
      maxConnections: config.databasePoolSize,
      onConnectionError: (err) => {
        // In the end connections are cut by those who close them.
        const level = health.report().state === 'stopping' ? 'debug' : 'warn';
        logger[level]({ event: 'db.connection-lost', err }, 'a database connection was lost');
      },
    }),
  );
  const applied = await migrate(database);
  if (applied.length > 0)
    logger.info({ event: 'db.migrated', migrations: applied }, 'the schema was brought up to date');
  health.meet('database');
  stack.use(new DatabaseWatch({ database, health, metrics, logger, everyMs: databaseWatchMs }));
  return database;
}

/** A short time of unavailability is soon over, and nothing depends on knowing it sooner. */
const databaseWatchMs = 2_000;

/** No keyring, no start: what is sealed in the database would be lost to us, and nothing may be sealed with another. */
async function applyManifests(foundation: Foundation, database: PostgresDatabase): Promise<ManifestSummary | null> {
  const { config, logger, metrics, stack } = foundation;
  const paths = dataPaths(config);
  const mayCreate = config.isLocal && config.keyringFile === null;
  const keyring = await openKeyringOf(database.db, paths.keyring, mayCreate);
  if (config.manifestsDirectory === null) return null;
  const followed = await followManifests({
    db: database.db,
    keyring,
    logger,
    metrics,
    manifestsFolder: path.resolve(config.manifestsDirectory),
    secretsFolder: paths.secrets,
  });
  return stack.use(followed).summary;
}

async function openCertificate({ config, logger, clock, metrics, stack }: Foundation): Promise<Certificate> {
  const { sslCertFile, sslKeyFile, hostname } = config;
  const certificate = await Certificate.open({
    files: sslCertFile !== null && sslKeyFile !== null ? { certificate: sslCertFile, privateKey: sslKeyFile } : null,
    directory: dataPaths(config).tls,
    names: config.isLocal ? ['localhost', ...(hostname === 'localhost' ? [] : [hostname]), '127.0.0.1'] : [hostname],
    clock,
    logger,
    metrics,
  });
  return stack.use(certificate);
}

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
