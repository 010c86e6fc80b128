/**
 * Makes the parts of an operator in the order in which they need each other, and closes them in the opposite order. All
 * processes hold caches; the one that leads works. Tests use it to run operators in their own process.
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from '#shared/base/clock.ts';
import type { OperatorConfig } from '#shared/config/operator-config.ts';
import { createDatabase } from '#shared/db/client.ts';
import { DatabaseWatch } from '#shared/db/database-watch.ts';
import { HttpServer } from '#shared/http/http-server.ts';
import { Health } from '#shared/observe/health.ts';
import type { Logger } from '#shared/observe/logger.ts';
import { createOperatorMetrics, type OperatorMetrics } from '#shared/observe/operator-metrics.ts';
import { listenFault } from '#shared/process/listen-fault.ts';
import { version } from '#shared/process/version.ts';
import { DirectoryController } from './directory/directory-controller.ts';
import { ObjectReader } from './directory/gathered-objects.ts';
import type { Leading, OperatorBasis, OperatorFoundation } from './foundation/operator-foundation.ts';
import { openResourceCaches, ownCaches, ownTypes } from './foundation/resource-caches.ts';
import { EventRecorder } from './kube/event-recorder.ts';
import { KubeError } from './kube/kube-error.ts';
import { createKubeClient } from './kube/http-client.ts';
import type { KubeAccess } from './kube/kube-access.ts';
import { LeaderElector } from './kube/leader-elector.ts';
import { openParts } from './parts.ts';
import { openWhenReady } from './database-gate.ts';
import { applyDeclaredMailServer } from './server/declared-mail-server.ts';
import { showStatuses } from './status-metrics.ts';
import { StatusBoard } from './status/status-board.ts';

export type OperatorOptions = {
  readonly config: OperatorConfig;
  readonly access: KubeAccess;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Those of the process are among the metrics. */
  readonly isProgram?: boolean;
};

/** An operator that leads or waits for the lease. */
export interface RunningOperator extends AsyncDisposable {
  /** The port in fact, where the configuration said 0; null: HTTP is not served. */
  readonly port: number | null;
  readonly health: Health;
  readonly metrics: OperatorMetrics;
  readonly isLeader: boolean;
  /** Rejects when this process must end: it lost the lease, or another leader has taken the database over. */
  readonly ended: Promise<void>;
  /** Finishes what is being written and gives the lease back. */
  stop(): Promise<void>;
}

const databaseWatchMs = 2_000;
/** To the API server, beside those of watches: for statuses and Secrets at the same time. */
const connections = 24;

/** Resolves when the process waits for the lease, with its caches still being filled. */
export async function startOperator(options: OperatorOptions): Promise<RunningOperator> {
  await using stack = new AsyncDisposableStack();
  const { config, logger, clock } = options;
  const health = new Health();
  const metrics = createOperatorMetrics({ process: options.isProgram === true });
  metrics.info.set({ version }, 1);
  health.require('caches', 'not filled yet');
  const shown: Shown = { board: null };
  const port = await openHttp({ config, logger, health, metrics, stack }, shown);
  const client = stack.use(
    createKubeClient({ access: options.access, name: 'postrider-operator', connections, logger, metrics, clock }),
  );
  const namespace = config.operatorNamespace ?? options.access.namespace;
  const resources = stack.use(
    openResourceCaches({
      client,
      namespaces: config.watchedNamespaces,
      serverNamespace: namespace,
      logger,
      metrics,
      clock,
    }),
  );
  void resources.synced.then(() => health.meet('caches'));
  const objects = new ObjectReader(resources);
  // Whoever takes over some time has read most of them then.
  void resources.synced.then(() => objects.gather(() => true));
  const database = stack.use(
    createDatabase({
      url: config.databaseUrl.reveal(),
      urlFile: config.databaseUrlFile,
      applicationName: 'postrider-operator',
      maxConnections: config.databasePoolSize,
      onConnectionError: (err) => logger.debug({ event: 'db.connection-lost', err }, 'a connection was lost'),
    }),
  );
  stack.use(new DatabaseWatch({ database, health, metrics, logger, everyMs: databaseWatchMs }));
  const basis: OperatorBasis = { config, logger, clock, health, metrics, client, namespace, resources, database };
  const stopping = new AbortController();
  const elector = new LeaderElector({
    client,
    namespace,
    name: config.leaseName,
    identity: `${config.identity}_${randomBytes(4).toString('hex')}`,
    signal: stopping.signal,
    onLead: (lead) => leadWith(basis, { synced: resources.synced, objects }, shown, lead),
    logger,
    metrics,
    clock,
  });
  const ended = elector.run();
  ended.catch(() => undefined);
  const owned = stack.move();
  const stop = async (): Promise<void> => {
    health.stop();
    stopping.abort();
    await ended.catch(() => undefined);
    await owned.disposeAsync();
  };
  return {
    port,
    health,
    metrics,
    get isLeader() {
      return elector.isLeader;
    },
    ended,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** What `/metrics` looks at, while this process leads. */
type Shown = { board: StatusBoard | null };

type Lead = { readonly stop: AbortSignal; readonly lost: AbortSignal };

type Cached = { readonly synced: Promise<void>; readonly objects: ObjectReader };

/** Everything that the one leader does, until it is to stop; rejects where it must end. */
async function leadWith(
  basis: OperatorBasis,
  { synced, objects }: Cached,
  shown: Shown,
  { stop, lost }: Lead,
): Promise<void> {
  const ended = Promise.withResolvers<void>();
  stop.addEventListener('abort', () => ended.resolve(), { once: true });
  if (stop.aborted) ended.resolve();
  await Promise.race([synced, ended.promise]);
  if (stop.aborted) return;
  await using stack = new AsyncDisposableStack();
  const { config, logger, clock, metrics, client } = basis;
  logger.info({ event: 'operator.leading' }, 'this process leads');
  const events = stack.use(
    new EventRecorder({
      client,
      component: 'postrider-operator',
      instance: config.identity,
      logger,
      metrics,
      clock,
    }),
  );
  const board = stack.use(
    new StatusBoard({ client, events, types: ownTypes, clock, logger, metrics, workers: config.statusWorkers }),
  );
  watchStatuses(basis, board, stack);
  shown.board = board;
  stack.defer(() => {
    shown.board = null;
  });
  const leading: Leading = { board, events, lost };
  await declareMailServer(basis);
  const opened = await openWhenReady({ ...basis, ...leading }, stop);
  if (opened === null) return;
  const foundation: OperatorFoundation = { ...basis, ...leading, ...opened, deposed: ended.reject };
  stack.use(DirectoryController.open(foundation, objects));
  await openParts(foundation, stack);
  logger.info({ event: 'operator.working', epoch: String(opened.epoch) }, 'resources are followed');
  await ended.promise;
}

/** What the chart hands over. An API server that refuses it may have an older CRD: the operator works all the same. */
async function declareMailServer({ client, config, namespace, logger }: OperatorBasis): Promise<void> {
  if (config.mailServerFile === null) return;
  try {
    await applyDeclaredMailServer({ client, file: config.mailServerFile, namespace, logger });
  } catch (err) {
    if (!(err instanceof KubeError)) throw err;
    logger.error({ event: 'mail-server.refused', err }, 'the declared MailServer could not be applied');
  }
}

/** The board hears what others write into statuses, and of resources that go. */
function watchStatuses({ resources }: OperatorBasis, board: StatusBoard, stack: AsyncDisposableStack): void {
  for (const cache of ownCaches(resources)) {
    stack.use(
      cache.onChange(({ kind, object }) => {
        if (kind === 'deleted') board.forget(object.metadata.uid);
        else board.observe(object);
      }),
    );
  }
}

type HttpParts = Pick<OperatorBasis, 'config' | 'logger' | 'health' | 'metrics'> & {
  readonly stack: AsyncDisposableStack;
};

async function openHttp({ config, logger, health, metrics, stack }: HttpParts, shown: Shown): Promise<number | null> {
  const { httpHost: host, httpPort: port } = config;
  if (port === null) return null;
  const http = await HttpServer.open({
    host,
    port,
    health,
    printMetrics: () => {
      showStatuses(shown.board, metrics);
      return metrics.registry.metrics();
    },
    info: { name: 'Postrider operator', version },
    logger,
    explain: (error) => listenFault(error, { name: 'HTTP', host, port }),
  });
  return stack.use(http).port;
}
