import { expect, test } from 'vitest';
import { Scanner, SyntaxFault } from './scanner.ts';

test('what is taken is passed, what is not leaves the cursor', () => {
  const s = new Scanner('Fetch 12:0');
  expect(s.take('FETCH')).toBe(false);
  expect(s.takeWord('FETCHES')).toBe(false);
  expect(s.offset).toBe(0);
  expect(s.takeWord('FETCH')).toBe(true);
  s.expect(' ', 'SP');
  expect(s.match(/[a-z]/y)).toBeNull();
  expect(s.nzNumber()).toBe(12);
  expect(s.takeCount(3)).toBeNull();
  expect(s.takeCount(1)).toBe(':');
  expect(s.number()).toBe(0);
  expect(s.done).toBe(true);
  expect(s.peek()).toBeNaN();
  expect(s.takeWhile(() => true)).toBe('');
});

test('a word is compared without ASCII case only', () => {
  expect(new Scanner('stra\u00dfe').takeWord('STRASSE')).toBe(false);
  expect(new Scanner('\u017feen').takeWord('SEEN')).toBe(false);
});

test.each([
  ['', 'number at 0'],
  ['x', 'number at 0'],
  ['4294967296', 'number at 0'],
  ['9'.repeat(400), 'number at 0'],
])('%j is no number', (text, fault) => {
  expect(() => new Scanner(text).number()).toThrow(fault);
});

test('a number of 32 bits is one, with zeros before it too, an nz-number is not', () => {
  expect(new Scanner('04294967295').number()).toBe(0xffff_ffff);
  expect(() => new Scanner('01').nzNumber()).toThrow(new SyntaxFault('nz-number', 0));
});

test('a fault names the rule and the place', () => {
  const s = new Scanner('ab');
  s.take('a');
  expect(() => s.expect(')', 'the end of the list')).toThrow('expected the end of the list at 1');
});
