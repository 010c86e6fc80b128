/** How an installation is, from what its database and its servers say of themselves. Pure. */
import type { ConditionReport, ConditionStatus } from '#operator/status/condition.ts';
import type { DatabaseFacts } from './database-facts.ts';
import type { ServerInstance } from './instance-facts.ts';

export type ServerFindings = {
  readonly database: DatabaseFacts;
  readonly instances: readonly ServerInstance[];
  /** Connections that the operator itself may open. */
  readonly ownConnections: number;
};

/** Of a server of a release that doesn't say: the standard pool, and those beside it. */
const assumedConnections = 24;

export function serverConditions(findings: ServerFindings): readonly ConditionReport[] {
  const { database, instances } = findings;
  return [
    available(instances),
    { type: 'SchemaCurrent', status: 'True', reason: 'Current', message: '' },
    durable(database),
    budget(findings),
    ...[
      { type: 'OutboundPort25', fact: 'outboundPort25', good: 'open', bad: 'blocked', ...port25 },
      { type: 'DNSSECValidating', fact: 'dnssec', good: 'validating', bad: 'not-validating', ...dnssec },
      { type: 'ClientIPPreserved', fact: 'clientAddresses', good: 'preserved', bad: 'masked', ...clientIp },
    ].map((check) => fromInstances(instances, check as Check)),
  ];
}

const port25 = {
  reason: 'Port25Blocked',
  message: 'connections to port 25 of other mail servers are not let out; ask the provider, or send over a MailRoute',
};
const dnssec = {
  reason: 'ResolverNotValidating',
  message: 'the resolver does not validate DNSSEC, so DANE protects nothing; use one that does',
};
const clientIp = {
  reason: 'ClientIPMasked',
  message:
    'all clients come from the same few addresses: set externalTrafficPolicy: Local, or the PROXY protocol, so that limits and blocklists see who connects',
};

function available(instances: readonly ServerInstance[]): ConditionReport {
  const ready = instances.filter(isReady);
  if (ready.length > 0) return { type: 'Available', status: 'True', reason: 'ServersReady', message: '' };
  const message = instances.length === 0 ? 'no server gives a sign of life' : 'no server is ready';
  return { type: 'Available', status: 'False', reason: 'NoReadyPods', message };
}

function durable(database: DatabaseFacts): ConditionReport {
  const { fsync, synchronousCommit, synchronousStandbys } = database;
  const say = (status: ConditionStatus, reason: string, message: string): ConditionReport => ({
    type: 'DatabaseDurable',
    status,
    reason,
    message,
  });
  if (!fsync) return say('False', 'FsyncOff', 'fsync is off: a crash of the machine can destroy the database');
  if (synchronousCommit === 'off') {
    return say('False', 'SynchronousCommitOff', 'synchronous_commit is off: a crash loses mail that was accepted');
  }
  if (synchronousStandbys === null) {
    return say('Unknown', 'NotPermitted', 'who may not see the standby servers: grant pg_monitor to this user');
  }
  if (synchronousStandbys === 0 || synchronousCommit === 'local') {
    const message = 'no synchronous standby: mail that was accepted is lost together with the disk of the database';
    return say('False', 'NoSynchronousStandby', message);
  }
  return say('True', 'SynchronousStandby', '');
}

/** All may be opened at the same time, when the load is high: then is no time to find out. */
function budget(findings: ServerFindings): ConditionReport {
  const { database } = findings;
  const needed = connectionBudget(findings);
  const there = database.maxConnections - database.reservedConnections;
  const type = 'ConnectionBudget';
  if (needed <= there) return { type, status: 'True', reason: 'WithinBudget', message: '' };
  const message = `servers and operator may open ${needed} connections, the database takes ${there}: raise max_connections or lower DATABASE_POOL_SIZE`;
  return { type, status: 'False', reason: 'BudgetExceeded', message };
}

export function connectionBudget({ instances, ownConnections }: ServerFindings): number {
  const each = instances.map(({ facts }) => facts.databaseConnections ?? assumedConnections);
  return each.reduce((sum, count) => sum + count, ownConnections);
}

type Check = {
  readonly type: string;
  readonly fact: 'outboundPort25' | 'dnssec' | 'clientAddresses';
  readonly good: string;
  readonly bad: string;
  readonly reason: string;
  readonly message: string;
};

/** One server that sees trouble is enough; one that sees none is needed. */
function fromInstances(instances: readonly ServerInstance[], check: Check): ConditionReport {
  const { type, fact, good, bad, reason, message } = check;
  const said = instances.map(({ facts }) => facts[fact] as string);
  if (said.includes(bad)) return { type, status: 'False', reason, message };
  if (said.includes(good)) return { type, status: 'True', reason: type, message: '' };
  return { type, status: 'Unknown', reason: 'NotObserved', message: 'no server has found out yet' };
}

export function isReady({ facts }: ServerInstance): boolean {
  return facts.isReady && !facts.isDraining;
}
