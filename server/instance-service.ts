/** This server's own row among those of all servers of the database. */
import { randomUUID } from 'node:crypto';
import os from 'node:os';
import type { PostgresDatabase } from '#shared/db/client.ts';
import { newestMigration } from '#shared/db/migrate.ts';
import { version } from '#shared/process/version.ts';
import type { Foundation } from './foundation.ts';
import type { ClientAddresses } from './instance/client-addresses.ts';
import { Heartbeat } from './instance/heartbeat.ts';
import type { InstanceFacts } from './instance/instance-facts.ts';
import type { MailService } from './mail-service.ts';
import { connectionBudget } from './processes/division.ts';

export type InstanceParts = {
  readonly database: PostgresDatabase;
  readonly mail: Pick<MailService, 'outboundFacts'>;
  readonly clients: ClientAddresses;
};

/** Resolves before the row is there: a server that serves is not held up by it. */
export async function openInstance(
  { config, logger, health, metrics, stack }: Foundation,
  { database, mail, clients }: InstanceParts,
): Promise<void> {
  const facts = async (): Promise<InstanceFacts> => {
    const { isReady, state } = health.report();
    const { values } = await metrics.connectionsOpen.get();
    return {
      isReady,
      isDraining: state === 'stopping',
      databaseConnections: connectionBudget(config),
      clientAddresses: clients.verdict,
      ...mail.outboundFacts(),
      sessions: Object.fromEntries(values.map(({ labels, value }) => [String(labels['listener']), value])),
    };
  };
  const heartbeat = new Heartbeat({
    db: database.db,
    name: `${os.hostname()}-${randomUUID().slice(0, 8)}`,
    roles: config.roles,
    version,
    schema: await newestMigration(),
    facts,
    onError: (err) => logger.debug({ event: 'instance.unwritten', err }, 'the row of this server was not written'),
  });
  stack.use(heartbeat);
  health.onStop(() => heartbeat.beat());
}
