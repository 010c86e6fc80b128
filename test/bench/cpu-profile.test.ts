import { expect, test } from 'vitest';
import { functionTimes, type CpuProfile } from './cpu-profile.ts';

const frame = (functionName: string, url = '') => ({ functionName, url, lineNumber: 4 });
const profile: CpuProfile = {
  nodes: [
    { id: 1, callFrame: frame('(root)'), children: [2, 3] },
    { id: 2, callFrame: frame('(idle)') },
    { id: 3, callFrame: frame('outer', 'file:///home/me/server/wire/connection.ts'), children: [4, 5] },
    { id: 4, callFrame: frame('inner', 'node:net') },
    { id: 5, callFrame: frame('outer', 'file:///home/me/server/wire/connection.ts') },
  ],
  samples: [2, 3, 4, 5],
  timeDeltas: [500, 100, 300, 100],
};

test("idle time is no one's", () => {
  expect(functionTimes(profile).busy).toBe(0.5);
});

test('self time is told as a share of the busy time, the longest first', () => {
  const [first, second] = functionTimes(profile).functions;
  expect(first).toMatchObject({ name: 'inner node:net:5', self: 0.6 });
  expect(second).toMatchObject({ name: 'outer server/wire/connection.ts:5', self: 0.4 });
});

test('a function that calls itself counts its total once', () => {
  expect(functionTimes(profile).functions.find(({ name }) => name.startsWith('outer'))?.total).toBe(1);
});

test('an empty profile has no functions', () => {
  expect(functionTimes({ nodes: [] })).toEqual({ busy: 0, functions: [] });
});
