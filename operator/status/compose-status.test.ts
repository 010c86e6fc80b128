import fc from 'fast-check';
import { expect, test } from 'vitest';
import { composeStatus } from './compose-status.ts';
import { findCondition } from './condition.ts';
import type { ConditionReport, PartReport, ResourceStatus } from './condition.ts';
import { transitions } from './transitions.ts';

const early = new Date('2026-11-01T10:00:00.500Z');
const late = new Date('2026-11-01T11:00:00.500Z');

const holds = (type: string): ConditionReport => ({ type, status: 'True', reason: 'Fine', message: '' });
const fails = (type: string, reason: string): ConditionReport => ({ type, status: 'False', reason, message: 'why' });
const part = (generation: number, ...conditions: ConditionReport[]): PartReport => ({ generation, conditions });

function composed(kind: string, ...parts: PartReport[]): ResourceStatus {
  return composeStatus(kind, undefined, parts, early);
}

const ready = (status: ResourceStatus) => findCondition(status, 'Ready');

test('the same reports on the same status give back the same object', () => {
  const parts = [
    part(3, holds('Accepted'), holds('Synced')),
    { ...part(3, holds('CredentialsReady')), fields: { a: 1 } },
  ];
  const status = composeStatus('Mailbox', undefined, parts, early);
  expect(composeStatus('Mailbox', status, parts, late)).toBe(status);
  expect(composeStatus('Mailbox', structuredClone(status), parts, late)).toEqual(status);
});

test('the order of conditions in the API server is no difference', () => {
  const parts = [part(1, holds('Accepted'), holds('Synced'), holds('CredentialsReady'))];
  const status = composeStatus('Mailbox', undefined, parts, early);
  const turned: ResourceStatus = { ...status, conditions: (status.conditions ?? []).toReversed() };
  expect(composeStatus('Mailbox', turned, parts, late)).toBe(turned);
});

test('lastTransitionTime, in whole seconds, moves when the status changes and not with reason, message or generation', () => {
  const first = composed('Mailbox', part(1, fails('Accepted', 'DomainNotFound')));
  expect(findCondition(first, 'Accepted')?.lastTransitionTime).toBe('2026-11-01T10:00:00Z');
  const other = composeStatus('Mailbox', first, [part(2, fails('Accepted', 'AddressConflict'))], late);
  expect(findCondition(other, 'Accepted')).toEqual({
    ...fails('Accepted', 'AddressConflict'),
    observedGeneration: 2,
    lastTransitionTime: '2026-11-01T10:00:00Z',
  });
  const well = composeStatus('Mailbox', other, [part(2, holds('Accepted'))], late);
  expect(findCondition(well, 'Accepted')?.lastTransitionTime).toBe('2026-11-01T11:00:00Z');
});

test('what no part has reported since the start stays as the API server has it', () => {
  const before = composeStatus(
    'MailDomain',
    undefined,
    [
      part(1, holds('Accepted'), holds('Synced')),
      { ...part(1, holds('DKIMReady'), holds('CertificateReady')), fields: { dkim: [1] } },
    ],
    early,
  );
  const after = composeStatus('MailDomain', before, [part(1, holds('Accepted'), holds('Synced'))], late);
  expect(after).toBe(before);
  expect(ready(after)?.status).toBe('True');
});

test.each([
  [
    'the first in order, whatever the order of reports',
    [fails('CredentialsReady', 'C'), fails('Synced', 'B'), holds('Accepted')],
    'B',
  ],
  ['Accepted before all', [fails('CredentialsReady', 'C'), fails('Synced', 'B'), fails('Accepted', 'A')], 'A'],
  [
    'Deleting before Accepted',
    [fails('Accepted', 'A'), { ...holds('Deleting'), reason: 'PurgePending' }],
    'PurgePending',
  ],
])('Ready names %s', (_what, conditions, reason) => {
  expect(ready(composed('Mailbox', part(1, ...conditions)))).toMatchObject({ status: 'False', reason });
});

test('Ready is Unknown while something that counts was not looked at, and what only informs does not count', () => {
  expect(ready(composed('MailDomain', part(1, holds('Accepted'), holds('Synced'))))).toMatchObject({
    status: 'Unknown',
    reason: 'Pending',
  });
  const all = ['Accepted', 'Synced', 'DKIMReady', 'CertificateReady'].map(holds);
  expect(ready(composed('MailDomain', part(1, ...all, fails('DNSReady', 'MXMissing'))))?.status).toBe('True');
});

test('observedGeneration is that of the part that lags behind', () => {
  const status = composed('Mailbox', part(4, holds('Accepted'), holds('Synced')), part(3, holds('CredentialsReady')));
  expect(status.observedGeneration).toBe(3);
  expect(ready(status)?.observedGeneration).toBe(3);
  const failing = composed('Mailbox', part(3, holds('Accepted')), part(4, fails('Synced', 'Conflict')));
  expect(failing.observedGeneration).toBe(0);
  expect(ready(failing)).toMatchObject({ observedGeneration: 4, reason: 'Conflict' });
});

test('a part takes away a condition and a field that it had', () => {
  const before = composed('Mailbox', { ...part(1, fails('Deleting', 'X')), fields: { secretName: 'a', keep: 1 } });
  const report = { ...part(1, holds('Accepted')), without: ['Deleting'], fields: { secretName: undefined } };
  const after = composeStatus('Mailbox', before, [report], late);
  expect(findCondition(after, 'Deleting')).toBeUndefined();
  expect(after).toHaveProperty('keep', 1);
  expect(after).not.toHaveProperty('secretName');
});

const condition = fc.record({
  type: fc.constantFrom('Accepted', 'Synced', 'CredentialsReady', 'Deleting', 'WithinQuota'),
  status: fc.constantFrom('True' as const, 'False' as const, 'Unknown' as const),
  reason: fc.constantFrom('A', 'B', 'C'),
  message: fc.constantFrom('', 'text'),
});
const anyPart = fc.record({
  generation: fc.integer({ min: 1, max: 4 }),
  conditions: fc.uniqueArray(condition, { selector: ({ type }) => type }),
  fields: fc.dictionary(fc.constantFrom('x', 'y'), fc.jsonValue()),
});

test('whatever is reported: a second time changes nothing, each condition is there once, transition times never go back', () => {
  fc.assert(
    fc.property(anyPart, anyPart, (one, two) => {
      const first = composeStatus('Mailbox', undefined, [one], early);
      const second = composeStatus('Mailbox', first, [two], late);
      expect(composeStatus('Mailbox', second, [two], late)).toBe(second);
      const types = (second.conditions ?? []).map(({ type }) => type);
      expect(new Set(types).size).toBe(types.length);
      for (const { type, status, lastTransitionTime } of second.conditions ?? []) {
        const was = findCondition(first, type);
        expect(lastTransitionTime === was?.lastTransitionTime).toBe(was?.status === status);
      }
    }),
  );
});

test('events tell of what broke and of what is well again, once', () => {
  const good = composed('Mailbox', part(1, holds('Accepted'), holds('Synced'), holds('CredentialsReady')));
  const bad = composeStatus('Mailbox', good, [part(1, fails('CredentialsReady', 'SecretNotFound'))], late);
  expect(transitions(undefined, good)).toEqual([]);
  expect(transitions(good, bad)).toEqual([{ type: 'Warning', reason: 'SecretNotFound', message: 'why' }]);
  expect(
    transitions(bad, composeStatus('Mailbox', bad, [part(2, fails('CredentialsReady', 'SecretNotFound'))], late)),
  ).toEqual([]);
  expect(transitions(bad, good)).toEqual([
    { type: 'Normal', reason: 'Fine', message: 'CredentialsReady again, after SecretNotFound' },
  ]);
  expect(transitions(undefined, bad)).toMatchObject([{ type: 'Warning', reason: 'SecretNotFound' }]);
});
