/** Mailboxes that transcripts begin with, by the name that their `mailbox:` line gives. All messages are in INBOX. */
import { flagBits } from '#server/mail/flags.ts';

export type FixtureMessage = {
  readonly raw: string;
  readonly flags?: number;
  readonly keywords?: readonly string[];
  readonly internalDate?: string;
};

const lines = (...text: string[]): string => `${text.join('\r\n')}\r\n`;

const plain = (subject: string, body: string): string =>
  lines(
    'From: Ann Arbor <ann@example.org>',
    'To: bob@example.net',
    `Subject: ${subject}`,
    'Message-ID: <1@example.org>',
    'Date: Mon, 2 Feb 2026 10:00:00 +0100',
    '',
    body,
  );

const nested = lines(
  'From: Ann <ann@example.org>',
  'To: bob@example.net',
  'Subject: Nested',
  'Date: Mon, 2 Feb 2026 10:00:00 +0100',
  'MIME-Version: 1.0',
  'Content-Type: multipart/mixed; boundary="b1"',
  '',
  'Preamble',
  '--b1',
  'Content-Type: text/plain; charset=utf-8',
  '',
  'First part',
  '--b1',
  'Content-Type: message/rfc822',
  '',
  'From: inner@example.org',
  'Subject: Inner',
  '',
  'Inner body',
  '--b1--',
);

const three: readonly FixtureMessage[] = [
  { raw: plain('First', 'One apple.'), internalDate: '2026-01-01T00:00:00Z' },
  {
    raw: plain('Second', 'Two pears.'),
    flags: flagBits.seen | flagBits.flagged,
    keywords: ['Work'],
    internalDate: '2026-02-01T12:00:00Z',
  },
  {
    raw: plain('=?utf-8?Q?Dritt=C3=A9?=', 'Three plums.'),
    flags: flagBits.deleted,
    internalDate: '2026-03-01T00:00:00Z',
  },
];

export const fixtures: Readonly<Record<string, readonly FixtureMessage[]>> = {
  empty: [],
  'two-plain': three.slice(0, 2),
  three,
  nested: [{ raw: nested, internalDate: '2026-01-01T00:00:00Z' }],
};
