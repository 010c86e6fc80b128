import { expect, test } from 'vitest';
import { resourceUid } from './identity.ts';
import { parseDuration, parseQuantity } from './quantity.ts';

test.each([
  ['0', 0n],
  ['4096', 4096n],
  ['1k', 1000n],
  ['500M', 500_000_000n],
  ['10Gi', 10_737_418_240n],
  ['1Pi', 1_125_899_906_842_624n],
  ['9223372036854775807', 2n ** 63n - 1n],
])('%s is %d bytes', (text, bytes) => {
  expect(parseQuantity(text)).toBe(bytes);
});

test.each(['', 'Gi', '10 Gi', '10GB', '1.5Gi', '-1', '1e3', '9223372036854775808', '99999999Pi'])(
  '%j is no quantity',
  (text) => {
    expect(parseQuantity(text)).toBeNull();
  },
);

test.each([
  ['168h', 604_800],
  ['1h30m', 5400],
  ['45s', 45],
  ['0s', 0],
])('%s is %d seconds', (text, seconds) => {
  expect(parseDuration(text)).toBe(seconds);
});

test.each(['', '1d', '30m1h', '1.5h', 'h', '1h 30m'])('%j is no duration', (text) => {
  expect(parseDuration(text)).toBeNull();
});

test('the same resource has the same identity for ever', () => {
  expect(resourceUid('Mailbox', 'default', 'alice')).toBe('ba5a8018-a42d-511d-9a9c-4c365d5b24df');
  expect(resourceUid('MailAlias', 'default', 'alice')).not.toBe(resourceUid('Mailbox', 'default', 'alice'));
});
