import { expect, test } from 'vitest';
import { requirementFaults } from './check-requirements.ts';

const header = 'id\trequirement\tstatus\tproof';
const later = Array.from({ length: 67 }, (_, n) => `000-${String(n + 1).padStart(2, '0')}\tsome\tlater\toutbound`);
const table = (replace: Readonly<Record<number, string>> = {}) =>
  `${[header, ...later.map((line, n) => replace[n + 1] ?? line)].join('\n')}\n`;
const tests: Record<string, string> = {
  'a.test.ts': `test('keeps its word', f);\ntest.each([[1, g(2)]])(\n  "takes %s",\n f);\ndescribe.skipIf(lacks('x'))('group', f);`,
};
tests['test/transcripts/a.txt'] = '# SELECT tells\nC: a1 SELECT x';
tests['test/contracts/a-contract.ts'] = "test('a contract', f)";
const read = (path: string) => tests[path] ?? null;

test('a whole table with existing tests has no fault', () => {
  const proofs = [
    'test/transcripts/a.txt > SELECT ; later outbound',
    'test/contracts/a-contract.ts > contract',
    'a.test.ts > its word',
    'a.test.ts > takes %s ; a.test.ts > group',
  ];
  const rows = Object.fromEntries(proofs.map((proof, n) => [n + 1, `000-0${n + 1}\tsome\ttest\t${proof}`]));
  expect(requirementFaults(table(rows), read)).toEqual([]);
});

test.each([
  ['000-01\tsome\ttest\tb.test.ts > x', 'line 2 (000-01): there is no b.test.ts'],
  ['000-01\tsome\ttest\ta.test.ts > other', 'line 2 (000-01): a.test.ts has no test named … other …'],
  ['000-01\tsome\ttest\ta.test.ts', "line 2 (000-01): a.test.ts is not: path.test.ts > part of the test's name"],
  ['000-01\tsome\ttest\tlater outbound', 'line 2 (000-01): names no test'],
  [
    '000-01\tsome\ttest\ttest/transcripts/a.txt > x SELECT',
    'line 2 (000-01): test/transcripts/a.txt has no test named … x SELECT …',
  ],
  ['000-01\tsome\tdone\t', 'line 2 (000-01): status "done" is neither test nor later'],
  ['000-01\tsome\tlater', 'line 2 (000-01): 3 fields instead of 4'],
])('%j is a fault', (line, fault) => {
  expect(requirementFaults(table({ 1: line }), read)).toContain(fault);
});

test('a missing, a repeated and an unknown row are faults', () => {
  const faults = requirementFaults(
    table({ 2: '000-01\tsome\tlater\toutbound', 3: '000-03\tsome\tlater\tsome day' }),
    read,
  );
  expect(faults).toContain('row 000-02 is missing');
  expect(faults).toContain('line 3 (000-01): the id was there before');
  expect(faults.some((fault) => fault.startsWith('line 4 (000-03): waits for "some day"'))).toBe(true);
});
