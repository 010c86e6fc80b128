import fc from 'fast-check';
import { SMTPConnection } from 'smtp-server/lib/smtp-connection.js';
import { expect, test } from 'vitest';
import { plainAddress } from './plain-address.ts';

const connection = Object.assign(Object.create(SMTPConnection.prototype), {
  _server: { options: {}, logger: { error: () => undefined } },
  session: {},
}) as SMTPConnection;

/** What the library makes of it. */
function parsed(name: string, line: string) {
  return connection._parseAddressCommand(name, Buffer.from(line));
}

test('what almost all clients write', () => {
  expect(plainAddress('mail from', Buffer.from('MAIL FROM:<a.b+c@mail-1.example.org>'))).toBe(
    'a.b+c@mail-1.example.org',
  );
  expect(plainAddress('rcpt to', Buffer.from('RCPT TO:<Bob@Example.org>'))).toBe('Bob@Example.org');
});

test.each([
  'RCPT TO:<bob@example.org> NOTIFY=NEVER',
  'RCPT TO: <bob@example.org>',
  'rcpt to:<bob@example.org>',
  'RCPT TO:<bob@xn--bcher-kva.example>',
  'RCPT TO:<bob@a.xn--bcher-kva.example>',
  'RCPT TO:<j\u00f6rg@example.org>',
  'RCPT TO:<"bob"@example.org>',
  'RCPT TO:<bob@[127.0.0.1]>',
  'RCPT TO:<@relay.test:bob@example.org>',
  'RCPT TO:<>',
  'RCPT TO:<postmaster>',
  'MAIL FROM:<bob@example.org>',
  `RCPT TO:<${'b'.repeat(300)}@example.org>`,
])('all else is left to the library: %s', (line) => {
  expect(plainAddress('rcpt to', Buffer.from(line))).toBeNull();
});

test('it is what the library reads', () => {
  const piece = fc.constantFrom(
    'a',
    'B',
    '9',
    '.',
    '-',
    '+',
    '=',
    '_',
    '@',
    '<',
    '>',
    ' ',
    '..',
    'xn--',
    '\t',
    '\u00e9',
    'mail',
    '[',
    ':',
  );
  const address = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(''));
  const start = fc.constantFrom('RCPT TO:<', 'RCPT TO:', 'MAIL FROM:<', 'RCPT TO: <');
  const likely = fc.tuple(address, address).map(([local, domain]) => `${local}@${domain}`);
  fc.assert(
    fc.property(start, fc.oneof(address, likely), fc.constantFrom('>', '', '> SIZE=1'), (before, inner, after) => {
      const line = `${before}${inner}${after}`;
      for (const name of ['rcpt to', 'mail from']) {
        const found = plainAddress(name, Buffer.from(line));
        if (found !== null) expect(parsed(name, line)).toEqual({ address: found, args: false });
      }
    }),
    { numRuns: 3000 },
  );
});
