import { expect, test } from 'vitest';
import type { Action } from '#shared/provisioning/plan.ts';
import { Written } from './directory-writer.ts';

const put = (uid: string, specHash: string): Action =>
  ({ do: 'put-account', uid, account: { uid, specHash } }) as unknown as Action;

test('the same for the same wish is done again, another wish is not', () => {
  const written = new Written();
  written.add([put('u1', 'a')], new Map(), new Map());
  expect(written.has(put('u1', 'a'))).toBe(true);
  expect(written.has(put('u1', 'b'))).toBe(false);
  expect(written.has(put('u2', 'a'))).toBe(false);
});
