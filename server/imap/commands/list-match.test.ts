import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fullPattern, matchesPattern } from './list-match.ts';

test.each([
  ['*', 'a/b', true],
  ['%', 'a', true],
  ['%', 'a/b', false],
  ['a/%', 'a/b', true],
  ['a/%', 'a', false],
  ['%/%', 'a/b', true],
  ['*b', 'a/b', true],
  ['%b', 'a/b', false],
  ['%*', 'a/b', true],
  ['INBOX', 'INBOX', true],
  ['a.c', 'abc', false],
  ['', '', true],
  ['é%', 'éa', true],
])('pattern %j and name %j: %j', (pattern, name, matches) => {
  expect(matchesPattern(pattern, name)).toBe(matches);
});

test('a pattern matches what the regular expression of the same meaning matches', () => {
  const text = (symbols: string) => fc.string({ unit: fc.constantFrom(...symbols.split('')), maxLength: 8 });
  fc.assert(
    fc.property(text('ab/*%'), text('ab/'), (pattern, name) => {
      const wildcards: Readonly<Record<string, string>> = { '*': '.*', '%': '[^/]*' };
      const expression = new RegExp(`^${pattern.replaceAll(/[*%]/g, (symbol) => wildcards[symbol] ?? '')}$`);
      expect(matchesPattern(pattern, name)).toBe(expression.test(name));
    }),
  );
});

test('a pattern made to take long does not', () => {
  const started = performance.now();
  expect(matchesPattern(`${'*a%'.repeat(20_000)}b`, 'a'.repeat(1000))).toBe(false);
  expect(matchesPattern('%'.repeat(60_000), 'a/b')).toBe(false);
  expect(performance.now() - started).toBeLessThan(2_000);
});

test.each([
  ['', 'inbox', 'INBOX'],
  ['a/', 'b', 'a/b'],
  ['a', '/b', 'a/b'],
  ['INBOX/', '%', 'INBOX/%'],
])('reference %j and pattern %j are %j', (reference, pattern, full) => {
  expect(fullPattern(reference, pattern)).toBe(full);
});
