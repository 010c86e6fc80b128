import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { maxMailboxLevels, maxMailboxNameBytes } from '#shared/base/limits.ts';
import { MailError } from './mail-error.ts';
import { canonicalMailboxName, isBelow, newMailboxName, parentsOf } from './mailbox-name.ts';

function reasonOf(name: string): string | null {
  try {
    newMailboxName(name);
    return null;
  } catch (error) {
    if (error instanceof MailError && error.fault.kind === 'bad-mailbox-name') return error.fault.reason;
    throw error;
  }
}

test.each([
  ['inbox', 'INBOX'],
  ['iNbOx/Sub', 'INBOX/Sub'],
  ['Inboxes', 'Inboxes'],
  ['a/inbox', 'a/inbox'],
  ['ınbox', 'ınbox'],
  ['Cafe\u0301', 'Caf\u00e9'],
  ['', ''],
  ['a//*', 'a//*'],
])('%j is looked up as %j', (name, canonical) => {
  expect(canonicalMailboxName(name)).toBe(canonical);
});

describe('a new mailbox', () => {
  test.each([
    ['Work', 'Work'],
    ['Work/', 'Work'],
    ['inbox/', 'INBOX'],
    ['Work/2026 & more/"quoted" \\ päckchen', 'Work/2026 & more/"quoted" \\ päckchen'],
    ['日本語', '日本語'],
    ['.hidden', '.hidden'],
    ['x'.repeat(maxMailboxNameBytes), 'x'.repeat(maxMailboxNameBytes)],
  ])('may be called %j', (name, canonical) => {
    expect(newMailboxName(name)).toBe(canonical);
  });

  test.each([
    ['', 'empty'],
    ['/', 'empty'],
    ['//', 'empty level'],
    ['/a', 'empty level'],
    ['a//b', 'empty level'],
    ['a//', 'empty level'],
    ['a*', 'wildcards'],
    ['a/%', 'wildcards'],
    ['a\u0000b', 'control'],
    ['a\r\nb', 'control'],
    ['a\u0085b', 'control'],
    ['a\u2028b', 'control'],
    ['a\ud800b', 'Unicode'],
    ['é'.repeat(maxMailboxNameBytes / 2) + 'x', 'bytes'],
    [Array.from({ length: maxMailboxLevels + 1 }, () => 'a').join('/'), 'levels'],
  ])('may not be called %j', (name, reason) => {
    expect(reasonOf(name)).toContain(reason);
  });

  test('has a name that is its own canonical form', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (name) => {
        if (reasonOf(name) !== null) return;
        const made = newMailboxName(name);
        expect(newMailboxName(made)).toBe(made);
        expect(canonicalMailboxName(made)).toBe(made);
      }),
    );
  });
});

test('levels', () => {
  expect(parentsOf('a/b/c')).toEqual(['a', 'a/b']);
  expect(parentsOf('a')).toEqual([]);
  expect(isBelow('a/b', 'a')).toBe(true);
  expect(isBelow('ab', 'a')).toBe(false);
  expect(isBelow('a', 'a')).toBe(false);
});
