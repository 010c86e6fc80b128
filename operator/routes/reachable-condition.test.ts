import { expect, test } from 'vitest';
import { reachableCondition, targetStatuses, type FoundTarget } from './reachable-condition.ts';

const good: FoundTarget = {
  target: 'Smarthost a:25',
  state: 'Reachable',
  reason: 'Reachable',
  message: '',
  latencyMs: 4,
};
const bad: FoundTarget = {
  target: 'Smarthost b:25',
  state: 'Unreachable',
  reason: 'AuthFailed',
  message: '535 no',
  latencyMs: 9,
};
const direct: FoundTarget = {
  target: 'Direct',
  state: 'NotProbed',
  reason: 'NotProbed',
  message: 'where mail goes depends on its recipients',
  latencyMs: null,
};

test.each([
  [[good], 'True', 'Reachable', ''],
  [[bad], 'False', 'AuthFailed', 'Smarthost b:25: 535 no'],
  [[good, bad], 'True', 'PartlyReachable', 'Smarthost b:25: 535 no'],
  [[bad, direct], 'True', 'PartlyReachable', 'Smarthost b:25: 535 no'],
  [[direct], 'Unknown', 'NotProbed', 'where mail goes depends on its recipients'],
])('of %j', (targets, status, reason, message) => {
  expect(reachableCondition(targets)).toEqual({ type: 'Reachable', status, reason, message });
});

test('fields are those of the CRD, without what was not seen', () => {
  expect(targetStatuses([bad, direct], new Date('2026-01-02T03:04:05.678Z'))).toEqual([
    {
      target: 'Smarthost b:25',
      state: 'Unreachable',
      message: '535 no',
      latencyMs: 9,
      probedAt: '2026-01-02T03:04:05Z',
    },
    { target: 'Direct', state: 'NotProbed', message: 'where mail goes depends on its recipients' },
  ]);
});
