import { expect, test } from 'vitest';
import { readAuthor } from './author.ts';
import { SubmissionRefusal } from './submission-fault.ts';

test.each([
  ['From: alice@example.org', ['alice@example.org'], null],
  ['From: "Alice, the first" <alice@Example.ORG>\r\nSender: bob@example.org', ['alice@example.org'], 'bob@example.org'],
  ['From: "boss@example.com" <alice@example.org>', ['alice@example.org'], null],
  ['From: alice@example.org (boss@example.com)', ['alice@example.org'], null],
  ['From: a@example.org, b@example.org\r\nSender: a@example.org', ['a@example.org', 'b@example.org'], 'a@example.org'],
  ['From: "Alice \\"(A)" (c"(d)) <alice@example.org> (e),', ['alice@example.org'], null],
  ['From: "a b"@example.org', ['"a b"@example.org'], null],
  ['From:\r\n =?utf-8?q?J=C3=B6rg?=\r\n <jorg@example.org>', ['jorg@example.org'], null],
])('%j', (header, from, sender) => {
  expect(readAuthor(`${header}\r\nSubject: x\r\n`)).toMatchObject({ from, sender });
});

test('the Message-ID without its brackets, where it can be read', () => {
  expect(readAuthor('From: a@b.org\r\nMessage-ID:\r\n <1@b.org>\r\n').messageId).toBe('1@b.org');
  for (const unreadable of ['none', '<\x01@b.org>', `<${'x'.repeat(990)}>`]) {
    expect(readAuthor(`From: a@b.org\r\nMessage-ID: ${unreadable}\r\n`).messageId).toBeNull();
  }
});

test.each([
  ['no From', 'Subject: x', { kind: 'field-count', field: 'From', count: 0 }],
  ['two From fields', 'From: a@b.org\r\nfrom : c@d.org', { kind: 'field-count', field: 'From', count: 2 }],
  ['an empty From', 'From: ', { kind: 'bad-address', field: 'From' }],
  ['a From without an address', 'From: Alice', { kind: 'bad-address', field: 'From' }],
  ['a group', 'From: us: a@b.org, c@d.org;', { kind: 'bad-address', field: 'From' }],
  ['an address in a name that is not quoted', 'From: boss@b.org <a@b.org>', { kind: 'bad-address', field: 'From' }],
  [
    'an address between two comments with quotes',
    'From: (") a@b.org (") <boss@b.org>',
    { kind: 'bad-address', field: 'From' },
  ],
  ['brackets behind an address', 'From: a@b.org <=?utf-8?q?boss=40b.org?=>', { kind: 'bad-address', field: 'From' }],
  ['a comment without an end', 'From: a@b.org (" , boss@b.org "', { kind: 'bad-address', field: 'From' }],
  [
    'a quote that is escaped outside of quotes',
    'From: \\"<boss@b.org>, " <a@b.org>',
    { kind: 'bad-address', field: 'From' },
  ],
  ['a route', 'From: <@x.org:a@b.org>', { kind: 'bad-address', field: 'From' }],
  ['several authors without a Sender', 'From: a@b.org, c@b.org', { kind: 'sender-needed' }],
  ['two Senders', 'From: a@b.org\r\nSender: a@b.org, c@b.org', { kind: 'bad-address', field: 'Sender' }],
  [
    'two Sender fields',
    'From: a@b.org\r\nSender: a@b.org\r\nSender: c@b.org',
    { kind: 'field-count', field: 'Sender', count: 2 },
  ],
])('%s is refused', (_, header, fault) => {
  let refused: unknown = null;
  try {
    readAuthor(`${header}\r\n`);
  } catch (error) {
    refused = error;
  }
  expect(refused).toBeInstanceOf(SubmissionRefusal);
  expect((refused as SubmissionRefusal).fault).toEqual(fault);
});
