import fc from 'fast-check';
import { expect, test } from 'vitest';
import { canonicalDomain } from './domain-name.ts';

test.each([
  ['example.org', 'example.org'],
  ['EXAMPLE.Org', 'example.org'],
  ['localhost', 'localhost'],
  ['bücher.example', 'xn--bcher-kva.example'],
  ['BÜCHER.example', 'xn--bcher-kva.example'],
  ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
  ['例え.テスト', 'xn--r8jz45g.xn--zckzah'],
  // UTS 46 maps the ideographic full stop to a dot.
  ['例え。テスト', 'xn--r8jz45g.xn--zckzah'],
  [`${'a'.repeat(63)}.org`, `${'a'.repeat(63)}.org`],
])('%s is %s', (text, canonical) => {
  expect(canonicalDomain(text)).toBe(canonical);
});

test.each([
  '',
  '.',
  'a..b',
  '.org',
  'example.org.',
  '-a.org',
  'a-.org',
  'a_b.org',
  'a b.org',
  'a/b.org',
  'user@example.org',
  'ü/b.org',
  'ü:25',
  '%61.org',
  '%C3%BC.org',
  '127.0.0.1',
  '１２７.0.0.1',
  'example.1',
  `${'a'.repeat(64)}.org`,
  `${'a.'.repeat(126)}toolong`,
  'a\n.org',
])('%j is no domain name', (text) => {
  expect(canonicalDomain(text)).toBeNull();
});

test('whatever is accepted is its own canonical form', () => {
  const characters = fc.constantFrom(...Array.from('aZ9-.üßİ例。_@ '));
  fc.assert(
    fc.property(fc.oneof(fc.domain(), fc.string({ unit: characters, maxLength: 40 })), (text) => {
      const canonical = canonicalDomain(text);
      if (canonical !== null) expect(canonicalDomain(canonical)).toBe(canonical);
    }),
  );
});
