import { expect, test } from 'vitest';
import { maxPasswordBytes, preparePassword } from './prepare-password.ts';

test.each([
  // RFC 4013 section 3.
  ['I\u00adX', 'IX'],
  ['user', 'user'],
  ['USER', 'USER'],
  ['\u00aa', 'a'],
  ['\u2168', 'IX'],
  ['a\u00a0b', 'a b'],
  ['e\u0301', '\u00e9'],
  ['🔑🦊🥷', '🔑🦊🥷'],
])('%j becomes %j', (password, prepared) => {
  expect(preparePassword(password)).toBe(prepared);
});

test.each(['', '\u0007', 'a\u0000b', '\u0627\u0031', '\ud800', '\u00ad', 'x'.repeat(maxPasswordBytes + 1)])(
  '%j is nobody’s password',
  (password) => {
    expect(preparePassword(password)).toBeNull();
  },
);
