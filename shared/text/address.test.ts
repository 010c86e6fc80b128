import fc from 'fast-check';
import { expect, test } from 'vitest';
import { canonicalAddress, canonicalLocalPart, formatAddress, parseAddress, splitSubaddress } from './address.ts';

test.each([
  ['alice@example.org', 'alice', 'example.org'],
  ['Alice.B@EXAMPLE.org', 'Alice.B', 'example.org'],
  ["o'hara+tag/x=y@example.org", "o'hara+tag/x=y", 'example.org'],
  ['"a b"@example.org', 'a b', 'example.org'],
  ['"a@b"@example.org', 'a@b', 'example.org'],
  ['"a\\"b\\\\c"@example.org', 'a"b\\c', 'example.org'],
  ['"plain"@example.org', 'plain', 'example.org'],
  ['用户@例え.テスト', '用户', 'xn--r8jz45g.xn--zckzah'],
  ['root@[127.0.0.1]', 'root', '[127.0.0.1]'],
  ['root@[IPv6:::1]', 'root', '[ipv6:::1]'],
])('%s has the local part %j at %s', (text, localPart, domain) => {
  expect(parseAddress(text)).toEqual({ localPart, domain });
});

test.each([
  '',
  '@',
  'alice',
  '@example.org',
  'alice@',
  'alice@example..org',
  'a..b@example.org',
  '.a@example.org',
  'a.@example.org',
  'a b@example.org',
  '"a@example.org',
  '""@example.org',
  '"a\nb"@example.org',
  'a"b"@example.org',
  'a\u0085b@example.org',
  'a\ud800b@example.org',
  'root@[127.0.0.1',
  'root@[127.0.0]',
  'root@[fe80::1%eth0]',
  '<alice@example.org>',
  `${'a'.repeat(65)}@example.org`,
  `${'ü'.repeat(33)}@example.org`,
  `a@${'b.'.repeat(125)}org`,
])('%j is no mailbox (RFC 5321 section 4.1.2)', (text) => {
  expect(parseAddress(text)).toBeNull();
});

const localPart = fc
  .string({ unit: fc.constantFrom(...Array.from('abZ0.+-"\\ @üé<>')), minLength: 1, maxLength: 20 })
  .filter((text) => Buffer.byteLength(text) <= 24);

test('formatting then parsing gives the same address', () => {
  fc.assert(
    fc.property(localPart, (local) => {
      const address = { localPart: local, domain: 'example.org' };
      expect(parseAddress(formatAddress(address))).toEqual(address);
    }),
  );
});

test('any text parses or is refused, and what parses has one canonical form', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
      const address = parseAddress(`${text}@example.org`);
      if (address === null) return;
      const canonical = canonicalAddress(address);
      expect(canonicalAddress(canonical)).toEqual(canonical);
    }),
  );
});

test('case and composition of a local part make no difference', () => {
  expect(canonicalLocalPart('JOSE\u0301')).toBe('jos\u00e9');
  expect(canonicalAddress({ localPart: 'Alice', domain: 'example.org' })).toEqual({
    localPart: 'alice',
    domain: 'example.org',
  });
});

test.each([
  ['alice+list', '+', { user: 'alice', detail: 'list' }],
  ['alice+a+b', '+', { user: 'alice', detail: 'a+b' }],
  ['alice+', '+', { user: 'alice', detail: '' }],
  ['alice', '+', null],
  ['+alice', '+', null],
  ['alice-list', '-', { user: 'alice', detail: 'list' }],
])('%s with %s is %j', (local, delimiter, expected) => {
  expect(splitSubaddress(local, delimiter)).toEqual(expected);
});
