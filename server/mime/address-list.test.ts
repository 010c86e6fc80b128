import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatAddressList, parseAddressList } from './address-list.ts';

const address = (name: string | null, mailbox: string | null, host: string | null, route: string | null = null) => ({
  name,
  route,
  mailbox,
  host,
});

test.each([
  ['a@b', [address(null, 'a', 'b')]],
  ['Ann Lee <a@b>', [address('Ann Lee', 'a', 'b')]],
  ['"Lee, Ann" <a@b>, c@d', [address('Lee, Ann', 'a', 'b'), address(null, 'c', 'd')]],
  ['"a\\"b\\\\c" <a@b>', [address('a"b\\c', 'a', 'b')]],
  ['John Q. Public <j@q>', [address('John Q. Public', 'j', 'q')]],
  ['a@b (Ann Lee)', [address('Ann Lee', 'a', 'b')]],
  ['(x) Ann (y) <a@b (z)>', [address('Ann', 'a', 'b')]],
  ['Ann <@r1,@r2:a@b>', [address('Ann', 'a', 'b', '@r1,@r2')]],
  ['"a b"@c', [address(null, 'a b', 'c')]],
  ['a . b @ c . d', [address(null, 'a.b', 'c.d')]],
  ['a@[192.0.2.1]', [address(null, 'a', '[192.0.2.1]')]],
  ['=?utf-8?q?a=2C_b?= <e@f>', [address('=?utf-8?q?a=2C_b?=', 'e', 'f')]],
  [
    'g: a@b, Ann <c@d>;',
    [address(null, 'g', null), address(null, 'a', 'b'), address('Ann', 'c', 'd'), address(null, null, null)],
  ],
  ['undisclosed-recipients:;', [address(null, 'undisclosed-recipients', null), address(null, null, null)]],
  ['g: a@b', [address(null, 'g', null), address(null, 'a', 'b'), address(null, null, null)]],
  ['a@b,,c@d, ,', [address(null, 'a', 'b'), address(null, 'c', 'd')]],
  ['a@b;c@d', [address(null, 'a', 'b'), address(null, 'c', 'd')]],
  ['root', [address(null, 'root', '')]],
  ['Foo Bar', [address('Foo Bar', '', '')]],
  ['<>', [address(null, '', '')]],
  ['<user>', [address(null, 'user', '')]],
  ['<<x@y>>', [address(null, 'x', 'y')]],
  ['foo <bar, c@d', [address('foo', 'bar', ''), address(null, 'c', 'd')]],
  ['', []],
])('RFC 5322 section 3.4: %s', (text, expected) => {
  expect(parseAddressList(text, 100)).toEqual(expected);
});

test('at most so many are read', () => {
  expect(parseAddressList('a@b, c@d, e@f', 2)).toHaveLength(2);
});

test('RFC 3501 section 7.4.2: the address structures', () => {
  expect(formatAddressList(parseAddressList('A "q" <a@b>, g:;', 9))).toBe(
    '(("A q" NIL "a" "b")(NIL NIL "g" NIL)(NIL NIL NIL NIL))',
  );
  expect(formatAddressList([])).toBe('NIL');
});

test('any text is read', () => {
  const piece = fc.constantFrom('a', '@', ' ', ',', ';', ':', '<', '>', '"', '\\', '(', ')', '[', ']', '.', '\xe9');
  fc.assert(
    fc.property(
      fc.array(piece).map((pieces) => pieces.join('')),
      (text) => {
        expect(formatAddressList(parseAddressList(text, 1000))).toMatch(/^(NIL|\(.*\))$/s);
      },
    ),
  );
});
