import { expect, test } from 'vitest';
import { messageMaker, needle, needleEvery, seeded } from './messages.ts';

test('the same seed gives the same numbers, from 0 to below 1', () => {
  const [a, b] = [seeded(5), seeded(5)];
  for (let i = 0; i < 1000; i++) {
    const value = a();
    expect(value).toBe(b());
    expect(value >= 0 && value < 1).toBe(true);
  }
});

test.each([1500, 4096, 20_480, 51_200])(
  'a message of %i bytes has about that size, and can go into DATA as it is',
  (bytes) => {
    const message = messageMaker(bytes)(3);
    expect(Math.abs(message.length - bytes) / bytes).toBeLessThan(0.15);
    const lines = message.toString('latin1').split('\r\n');
    expect(lines.every((line) => !line.startsWith('.') && line.length < 998 && !/[\r\n]/.test(line))).toBe(true);
    expect(lines.at(-1)).toBe('');
  },
);

test('messages are made again byte for byte, and no two are equal', () => {
  const [first, second] = [messageMaker(4096), messageMaker(4096)];
  expect(first(17)).toEqual(second(17));
  expect(new Set(Array.from({ length: 500 }, (_, n) => first(n).toString('latin1'))).size).toBe(500);
});

test('every so many messages has what SEARCH looks for, and no other', () => {
  const make = messageMaker(2000);
  for (const n of [0, needleEvery, needleEvery * 7]) {
    const text = make(n).toString('latin1');
    for (const one of Object.values(needle)) expect(text).toContain(one);
  }
  for (const n of [1, needleEvery - 1]) {
    const text = make(n).toString('latin1');
    for (const one of Object.values(needle)) expect(text).not.toContain(one);
  }
});
