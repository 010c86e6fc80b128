import { expect, test } from 'vitest';
import type { DatabaseFacts } from './database-facts.ts';
import type { InstanceFacts, ServerInstance } from './instance-facts.ts';
import { connectionBudget, serverConditions } from './server-conditions.ts';

const database: DatabaseFacts = {
  version: '18.0',
  fsync: true,
  synchronousCommit: 'on',
  synchronousStandbys: 1,
  maxConnections: 100,
  reservedConnections: 3,
  schemaVersion: 18,
};

function instance(name: string, facts: Partial<InstanceFacts> = {}): ServerInstance {
  return {
    name,
    roles: ['imap'],
    version: '1.0.0',
    startedAt: new Date(0),
    facts: {
      isReady: true,
      isDraining: false,
      databaseConnections: 24,
      outboundPort25: 'unknown',
      dnssec: 'unknown',
      clientAddresses: 'unknown',
      ...facts,
    },
  };
}

function says(type: string, facts: Partial<DatabaseFacts>, ...instances: readonly ServerInstance[]): string {
  const found = serverConditions({ database: { ...database, ...facts }, instances, ownConnections: 9 });
  const condition = found.find((each) => each.type === type);
  return `${condition?.status} ${condition?.reason}`;
}

test.each([
  ['no server at all', [], 'False NoReadyPods'],
  ['one that is not ready', [instance('a', { isReady: false })], 'False NoReadyPods'],
  ['one that drains', [instance('a', { isDraining: true })], 'False NoReadyPods'],
  ['one of two', [instance('a', { isReady: false }), instance('b')], 'True ServersReady'],
])('Available with %s', (_what, instances, expected) => {
  expect(says('Available', {}, ...instances)).toBe(expected);
});

test.each([
  [{}, 'True SynchronousStandby'],
  [{ fsync: false }, 'False FsyncOff'],
  [{ synchronousCommit: 'off' }, 'False SynchronousCommitOff'],
  [{ synchronousCommit: 'local' }, 'False NoSynchronousStandby'],
  [{ synchronousStandbys: 0 }, 'False NoSynchronousStandby'],
  [{ synchronousStandbys: null }, 'Unknown NotPermitted'],
])('DatabaseDurable with %j', (facts, expected) => {
  expect(says('DatabaseDurable', facts)).toBe(expected);
});

test('ConnectionBudget adds up what all may open, and takes off what is kept for superusers', () => {
  const three = [instance('a'), instance('b'), instance('c', { databaseConnections: null })];
  expect(connectionBudget({ database, instances: three, ownConnections: 9 })).toBe(81);
  expect(says('ConnectionBudget', { maxConnections: 84 }, ...three)).toBe('True WithinBudget');
  expect(says('ConnectionBudget', { maxConnections: 83 }, ...three)).toBe('False BudgetExceeded');
});

test('one server that sees trouble is enough, one that sees none is needed', () => {
  const port = (...facts: readonly InstanceFacts['outboundPort25'][]) =>
    says('OutboundPort25', {}, ...facts.map((outboundPort25, i) => instance(`i${i}`, { outboundPort25 })));
  expect(port()).toBe('Unknown NotObserved');
  expect(port('unknown')).toBe('Unknown NotObserved');
  expect(port('unknown', 'open')).toBe('True OutboundPort25');
  expect(port('open', 'blocked')).toBe('False Port25Blocked');
  expect(says('DNSSECValidating', {}, instance('a', { dnssec: 'not-validating' }))).toBe('False ResolverNotValidating');
  expect(says('ClientIPPreserved', {}, instance('a', { clientAddresses: 'masked' }))).toBe('False ClientIPMasked');
});
