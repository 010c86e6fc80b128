import { expect, test } from 'vitest';
import { formatDateTime, receivedField, traceHeader, type TraceFacts } from './trace-header.ts';

const facts: TraceFacts = {
  helo: 'client.example',
  remoteAddress: '192.0.2.7',
  hostname: 'mx.home.test',
  protocol: 'ESMTPS',
  tls: { version: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384' },
  id: 'abc',
  receivedAt: new Date('2026-11-21T10:40:49Z'),
  sender: 'ann@sender.test',
  recipients: ['bob@home.test'],
};

test('the whole header of a delivery', () => {
  expect(traceHeader(facts, 'bob@home.test').toString()).toBe(
    'Return-Path: <ann@sender.test>\r\n' +
      'Delivered-To: bob@home.test\r\n' +
      'Received: from client.example ([192.0.2.7])\r\n' +
      '\tby mx.home.test with ESMTPS (TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n' +
      '\tid abc\r\n' +
      '\tfor <bob@home.test>;\r\n' +
      '\tSat, 21 Nov 2026 10:40:49 +0000\r\n',
  );
});

test('a bounce has the empty return path', () => {
  expect(traceHeader({ ...facts, sender: '' }, 'bob@home.test').toString()).toMatch(/^Return-Path: <>\r\n/);
});

test('with several recipients none is named', () => {
  expect(receivedField({ ...facts, recipients: ['a@home.test', 'b@home.test'] })).not.toContain('for');
});

test('in clear there is no comment on TLS; IPv6 has its tag', () => {
  expect(receivedField({ ...facts, tls: null, protocol: 'ESMTP', remoteAddress: '2001:db8::1' })).toContain(
    'from client.example ([IPv6:2001:db8::1])\r\n\tby mx.home.test with ESMTP\r\n',
  );
});

test.each([null, '', 'a b', 'a\r\nX-Forged: yes', 'a(b', 'x'.repeat(256), 'ö.example'])(
  'a HELO name that is none is not repeated: %j',
  (helo) => {
    expect(receivedField({ ...facts, helo })).toMatch(/^Received: from unknown \(\[192\.0\.2\.7\]\)\r\n/);
  },
);

test('an address literal as HELO name stays', () => {
  expect(receivedField({ ...facts, helo: '[IPv6:2001:db8::1]' })).toContain('from [IPv6:2001:db8::1] (');
});

test('an address can not break the line', () => {
  const header = traceHeader({ ...facts, sender: 'a\r\nX: y@z' }, 'bob@home.test').toString();
  expect(header).toMatch(/^Return-Path: <>\r\n/);
});

test('UTF-8 addresses are written as they are (RFC 6532)', () => {
  const header = traceHeader(facts, 'jörg@home.test');
  expect(header.includes(Buffer.from('Delivered-To: jörg@home.test\r\n', 'utf8'))).toBe(true);
});

test('no line is longer than RFC 5322 section 2.1.1 allows, even with the longest of everything', () => {
  const long = `${'l'.repeat(64)}@${'d'.repeat(180)}.test`;
  const header = traceHeader(
    { ...facts, helo: 'h'.repeat(255), hostname: long, sender: long, recipients: [long] },
    long,
  );
  for (const line of header.toString().split('\r\n')) expect(line.length).toBeLessThan(998);
});

test('dates have two digits for the day', () => {
  expect(formatDateTime(new Date('2026-01-02T03:04:05Z'))).toBe('Fri, 02 Jan 2026 03:04:05 +0000');
});
