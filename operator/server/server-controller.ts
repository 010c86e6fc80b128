/** The status of MailServers: what their database and servers say of themselves, looked at every few seconds. */
import { ProgramFault } from '#shared/base/program-fault.ts';
import { checkSchema } from '#shared/db/migrate.ts';
import type { MailServer } from '#operator/api/mail-server.ts';
import type { OperatorFoundation } from '#operator/foundation/operator-foundation.ts';
import { Controller } from '#operator/kube/controller.ts';
import type { ConditionReport, PartReport } from '#operator/status/condition.ts';
import { readDatabaseFacts, type DatabaseFacts } from './database-facts.ts';
import { readInstances, type ServerInstance } from './instance-facts.ts';
import { queueStatus, readQueueFacts, type QueueFacts } from './queue-facts.ts';
import { connectionBudget, isReady, serverConditions } from './server-conditions.ts';

const part = 'server';
const everyMs = 10_000;
const key = 'all';
/** Beside the pool: notifications, and looks at the schema. */
const furtherConnections = 3;
const mostInstances = 100;
/** sysexits.h EX_UNAVAILABLE */
const unavailable = 69;

export class ServerController implements AsyncDisposable {
  readonly #foundation: OperatorFoundation;
  readonly #controller: Controller;
  readonly #subscription: Disposable;

  private constructor(foundation: OperatorFoundation) {
    this.#foundation = foundation;
    const { logger, metrics, clock, resources } = foundation;
    const reconcile = () => this.#reconcile();
    this.#controller = new Controller({ name: 'server', workers: 1, reconcile, logger, metrics, clock });
    this.#subscription = resources.servers.onChange(({ kind }) => {
      if (kind === 'added') this.#controller.enqueue(key);
    });
    this.#controller.enqueue(key);
    this.#controller.start();
  }

  static open(foundation: OperatorFoundation): ServerController {
    return new ServerController(foundation);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#subscription[Symbol.dispose]();
    await this.#controller.stop();
  }

  async #reconcile(): Promise<{ readonly afterMs: number }> {
    const { resources, board } = this.#foundation;
    const found = await this.#look();
    for (const server of resources.servers.items()) board.report(server, part, this.#reportOf(server, found));
    return { afterMs: everyMs };
  }

  async #look(): Promise<Found> {
    const { database } = this.#foundation;
    try {
      await checkSchema(database);
      return {
        facts: await readDatabaseFacts(database.db),
        instances: await readInstances(database.db),
        queue: await readQueueFacts(database.db),
      };
    } catch (error) {
      return { problem: schemaProblem(error) };
    }
  }

  #reportOf(server: MailServer, found: Found): PartReport {
    const generation = server.metadata.generation ?? 0;
    if ('problem' in found) return { generation, conditions: [found.problem] };
    const { facts, instances, queue } = found;
    const ownConnections = this.#foundation.config.databasePoolSize + furtherConnections;
    const findings = { database: facts, instances, ownConnections };
    return {
      generation,
      conditions: serverConditions(findings),
      fields: {
        replicas: `${instances.filter(isReady).length}/${instances.length}`,
        version: [...new Set(instances.map(({ version }) => version))].join(',') || undefined,
        schemaVersion: facts.schemaVersion,
        instances: instances.slice(0, mostInstances).map(({ name, roles, version, startedAt }) => ({
          name,
          roles: [...roles],
          version,
          startedAt: `${startedAt.toISOString().slice(0, 19)}Z`,
        })),
        ...this.#counts(server),
        queue: queueStatus(queue, server.status?.queue, this.#foundation.clock.now()),
        database: {
          version: facts.version,
          fsync: facts.fsync,
          synchronousCommit: facts.synchronousCommit,
          ...(facts.synchronousStandbys !== null && { synchronousStandbys: facts.synchronousStandbys }),
          maxConnections: facts.maxConnections,
          connectionBudget: connectionBudget(findings),
        },
      },
    };
  }

  /** Of what was declared; what of it is Ready the metrics say. */
  #counts({ metadata }: MailServer) {
    const { domains, mailboxes } = this.#foundation.resources;
    const own = domains.items().filter(({ metadata: { namespace }, spec: { serverRef } }) => {
      return serverRef.name === metadata.name && (serverRef.namespace ?? namespace) === metadata.namespace;
    });
    const names = new Set(own.map(({ spec }) => spec.domain));
    const inDomain = mailboxes.items().filter(({ spec: { address } }) => names.has(address.split('@').at(-1) ?? ''));
    return { domains: own.length, mailboxes: inDomain.length };
  }
}

type Found =
  | { readonly facts: DatabaseFacts; readonly instances: readonly ServerInstance[]; readonly queue: QueueFacts }
  | { readonly problem: ConditionReport };

function schemaProblem(error: unknown): ConditionReport {
  const type = 'SchemaCurrent';
  if (!(error instanceof ProgramFault) || error.cause !== undefined) {
    return { type, status: 'Unknown', reason: 'DatabaseUnavailable', message: 'the database does not answer' };
  }
  const reason = error.exitCode === unavailable ? 'DatabaseSchemaTooOld' : 'DatabaseSchemaTooNew';
  return { type, status: 'False', reason, message: error.message };
}
