/** Who does what when several processes are one server: decided from the configuration alone. */
import { Secret } from '#shared/config/secret.ts';
import { dataPaths, type ServerConfig } from '#shared/config/server-config.ts';
import type { Role } from '#shared/config/settings.ts';

/** Those that take connections, and who sends: the queue has any number of workers. The others' work is done once. */
const servingRoles: ReadonlySet<Role> = new Set<Role>(['mx', 'submission', 'imap', 'outbound']);

/** Connections of the supervising process at most: it sweeps, follows manifests and looks whether the database is there. */
const supervisorPool = 5;

/** Held beside each pool, for notifications and batched delivery (DATABASE_POOL_SIZE says so). */
const besidePool = 5;

/** The process that is started: it answers HTTP and does what must be done once; with one process all of it. */
export function supervisorConfig(config: ServerConfig): ServerConfig {
  if (config.processes === 1) return config;
  return {
    ...config,
    roles: config.roles.filter((role) => !servingRoles.has(role)),
    databasePoolSize: Math.min(supervisorPool, config.databasePoolSize),
  };
}

/**
 * One of those that serve. The database is there already and migrated, the keyring and the certificate are made: of
 * the supervisor's files it only reads.
 */
export function servingConfig(
  config: ServerConfig,
  found: {
    readonly databaseUrl: string;
    readonly certificate: { readonly certificate: string; readonly privateKey: string };
  },
): ServerConfig {
  return {
    ...config,
    roles: config.roles.filter((role) => servingRoles.has(role)),
    processes: 1,
    httpPort: null,
    manifestsDirectory: null,
    databaseUrl: new Secret(found.databaseUrl),
    keyringFile: dataPaths(config).keyring,
    sslCertFile: found.certificate.certificate,
    sslKeyFile: found.certificate.privateKey,
    // The supervisor waits before it says "stop".
    drainDelaySeconds: 0,
  };
}

/** Database connections that all processes together may hold. */
export function connectionBudget({ processes, databasePoolSize }: ServerConfig): number {
  if (processes === 1) return databasePoolSize + besidePool;
  return processes * (databasePoolSize + besidePool) + Math.min(supervisorPool, databasePoolSize) + besidePool;
}
