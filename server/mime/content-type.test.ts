import { describe, expect, test } from 'vitest';
import { firstToken, parseDisposition, parseLanguages, parseMediaType } from './content-type.ts';

describe('Content-Type, RFC 2045 section 5.1', () => {
  test.each([
    ['TEXT/Plain; CHARSET=UTF-8', 'TEXT', 'Plain', [['CHARSET', 'UTF-8']]],
    [
      'a/b;x="q\\"r;s" ; y=z',
      'a',
      'b',
      [
        ['x', 'q"r;s'],
        ['y', 'z'],
      ],
    ],
    [
      'a/b; x=y z; w; v=',
      'a',
      'b',
      [
        ['x', 'y'],
        ['v', ''],
      ],
    ],
    ['a/b; boundary=----=_Part/1:2?', 'a', 'b', [['boundary', '----=_Part/1:2?']]],
    ['a / b (comment) ; x (c) = (d) y', 'a', 'b', [['x', 'y']]],
    [
      'a/b; x=1; x=2',
      'a',
      'b',
      [
        ['x', '1'],
        ['x', '2'],
      ],
    ],
  ])('%s', (text, type, subtype, parameters) => {
    expect(parseMediaType(text)).toEqual({ type, subtype, parameters });
  });

  test.each(['', 'text', 'text/', '/plain', 'foo bar/baz', 'multipart/mixed, boundary=x'])('%j is no type', (text) => {
    expect(parseMediaType(text)).toBeNull();
  });
});

describe('parameters in pieces, RFC 2231 section 3', () => {
  test.each([
    ['x; url*0=http://; url*1=y', [['url', 'http://y']]],
    [
      'x; n*1=b; n*0=a; m=c',
      [
        ['m', 'c'],
        ['n', 'ab'],
      ],
    ],
    ["x; n*0*=utf-8''%e2; n*1*=%82; n*2=\"c%'\"", [['n*', "utf-8''%e2%82c%25%27"]]],
    ['x; n*0=a; n*1*=%20', [['n*', "''a%20"]]],
    ["x; n*=utf-8''a", [['n*', "utf-8''a"]]],
  ])('%s', (text, parameters) => {
    expect(parseDisposition(text)).toEqual({ type: 'x', parameters });
  });
});

test('an empty Content-Disposition is none', () => expect(parseDisposition(' ')).toBeNull());
test('RFC 2045 section 6.1: the encoding is a token', () => expect(firstToken('(c) BASE64 ; x')).toBe('BASE64'));
test('RFC 3282 section 2: languages', () =>
  expect(parseLanguages('en, de-AT (Austria),, fr')).toEqual(['en', 'de-AT', 'fr']));
