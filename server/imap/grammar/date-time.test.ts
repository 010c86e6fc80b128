import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Scanner } from '#shared/text/scanner.ts';
import { date, dateTime, formatDate, formatDateTime } from './date-time.ts';

test.each([
  ['"17-Jul-1996 02:44:25 -0700"', '1996-07-17T09:44:25.000Z'],
  ['" 7-jUl-1996 02:44:25 +0000"', '1996-07-07T02:44:25.000Z'],
  ['"29-Feb-2024 23:59:60 +0530"', '2024-02-29T18:30:00.000Z'],
  ['"01-Jan-0099 00:00:00 +0000"', '0099-01-01T00:00:00.000Z'],
])('%s is %s', (text, iso) => {
  expect(dateTime(new Scanner(text)).toISOString()).toBe(iso);
});

test.each([
  '"7-Jul-1996 02:44:25 -0700"',
  '"17-Jul-1996 02:44:25 GMT"',
  '"29-Feb-2023 00:00:00 +0000"',
  '"00-Jan-2023 00:00:00 +0000"',
  '"01-Foo-2023 00:00:00 +0000"',
  '"01-Jan-2023 24:00:00 +0000"',
  '"01-Jan-2023 00:60:00 +0000"',
  '"01-Jan-2023 00:00:61 +0000"',
  '"01-Jan-2023 00:00:00 +0060"',
  '01-Jan-2023 00:00:00 +0000',
])('%s is refused', (text) => {
  expect(() => dateTime(new Scanner(text))).toThrow('expected');
});

test('INTERNALDATE is in UTC, its day padded with a space', () => {
  expect(formatDateTime(new Date('2026-02-01T03:04:05.678Z'))).toBe('" 1-Feb-2026 03:04:05 +0000"');
});

test('a date-time formatted and parsed is the same', () => {
  const whole = fc
    .date({ min: new Date('0000-01-01'), max: new Date('9999-12-31'), noInvalidDate: true })
    .map((at) => new Date(Math.floor(at.getTime() / 1000) * 1000));
  fc.assert(
    fc.property(whole, (at) => {
      expect(dateTime(new Scanner(formatDateTime(at)))).toEqual(at);
    }),
  );
});

test.each([
  ['1-Feb-1994', '1994-02-01'],
  ['"01-FEB-1994"', '1994-02-01'],
  ['31-Dec-0001', '0001-12-31'],
])('the date %s is %s', (text, day) => {
  expect(date(new Scanner(text))).toBe(day);
  expect(date(new Scanner(formatDate(day)))).toBe(day);
});

test.each(['"1-Feb-1994', '1-2-1994', '31-Apr-2020', '0-Jan-2020', '1-Jan-20'])('the date %s is refused', (text) => {
  expect(() => date(new Scanner(text))).toThrow('expected');
});
