import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { AnyAnswer } from './judge-record.ts';
import { judgeAnswers } from './judge-record.ts';
import { reverseName, textStrings, wantedRecords, zoneLines } from './wanted-records.ts';
import type { DomainNeeds, WantedRecord } from './wanted-records.ts';

const needs: DomainNeeds = {
  domain: 'example.org',
  aliasDomains: ['example.net'],
  hostname: 'mx.example.com',
  clientHost: 'mail.example.org',
  services: { imaps: 993, submissions: 465, submission: null },
  dkim: ['example.org', 'example.net'].map((domain) => ({
    domain,
    selector: 'r1',
    algorithm: 'rsa2048',
    state: 'active',
    name: `r1._domainkey.${domain}.`,
    value: `v=DKIM1; k=rsa; p=${'A'.repeat(392)}`,
  })),
  dmarc: { policy: 'quarantine', percent: 50, rua: ['d@example.org'] },
  mtaSts: { id: '20261121' },
  challenges: new Map([['example.org', 'token']]),
  addresses: ['192.0.2.1', '2001:db8::1'],
};

test('the records of a domain, what matters most first', () => {
  const lines = wantedRecords(needs).map(({ name, type, values, isRequired }) => {
    return `${isRequired ? '!' : ' '} ${name} ${type} ${values.join('|').slice(0, 60)}`;
  });
  expect(lines).toMatchInlineSnapshot(`
    [
      "! _postrider-challenge.example.org TXT token",
      "! example.org MX 10 mx.example.com.",
      "! example.org TXT v=spf1 mx ~all",
      "! r1._domainkey.example.org TXT v=DKIM1; k=rsa; p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
      "! _dmarc.example.org TXT v=DMARC1; p=quarantine; pct=50; rua=mailto:d@example.org",
      "! _mta-sts.example.org TXT v=STSv1; id=20261121",
      "! _smtp._tls.example.org TXT v=TLSRPTv1; rua=mailto:d@example.org",
      "! example.net MX 10 mx.example.com.",
      "! example.net TXT v=spf1 mx ~all",
      "! r1._domainkey.example.net TXT v=DKIM1; k=rsa; p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
      "! _dmarc.example.net TXT v=DMARC1; p=quarantine; pct=50; rua=mailto:d@example.org",
      "! _mta-sts.example.net TXT v=STSv1; id=20261121",
      "! _smtp._tls.example.net TXT v=TLSRPTv1; rua=mailto:d@example.org",
      "! mail.example.org CNAME mx.example.com.",
      "  _imaps._tcp.example.org SRV 0 1 993 mail.example.org.",
      "  _submissions._tcp.example.org SRV 0 1 465 mail.example.org.",
      "  _imaps._tcp.example.net SRV 0 1 993 mail.example.org.",
      "  _submissions._tcp.example.net SRV 0 1 465 mail.example.org.",
      "  1.2.0.192.in-addr.arpa PTR mx.example.com.",
      "  1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR mx.example.com.",
    ]
  `);
});

test('a client host that is the server itself needs no record, nor do reports that nobody wants', () => {
  const records = wantedRecords({
    ...needs,
    clientHost: needs.hostname,
    mtaSts: null,
    dmarc: { policy: 'none', percent: null, rua: [] },
  });
  expect(records.some(({ purpose }) => ['client-host', 'mta-sts', 'tls-rpt'].includes(purpose))).toBe(false);
});

test.each([
  ['198.51.100.7', '7.100.51.198.in-addr.arpa'],
  ['::ffff:192.0.2.1', '1.0.2.0.0.0.0.c.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa'],
  ['::', `${Array.from({ length: 32 }, () => '0').join('.')}.ip6.arpa`],
])('the name of %s', (address, name) => {
  expect(reverseName(address)).toBe(name);
});

test('long texts are cut into strings that together are the text', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme-ascii', maxLength: 1000 }), (text) => {
      const strings = textStrings(text);
      expect(strings.join('')).toBe(text);
      expect(strings.every((each) => each.length <= 255)).toBe(true);
    }),
  );
  const key = wantedRecords(needs).find(({ purpose }) => purpose === 'dkim');
  expect(key && zoneLines(key)[0]).toMatch(
    /^r1\._domainkey\.example\.org\. 300 IN TXT "v=DKIM1; k=rsa; p=A{237}" "A{155}"$/,
  );
});

/** As a zone that has exactly these lines answers. */
function answerOf({ type, values }: WantedRecord): AnyAnswer {
  const records = values.map((value) => {
    const [a = '', b = '', c = '', d = ''] = value.split(' ');
    switch (type) {
      case 'MX':
        return { preference: Number(a), exchange: b.replace(/\.$/, '') };
      case 'SRV':
        return { priority: Number(a), weight: Number(b), port: Number(c), target: d.replace(/\.$/, '') };
      case 'TXT':
        return textStrings(value);
      default:
        return value.replace(/\.$/, '');
    }
  });
  return { kind: 'records', records, canonicalName: '', isAuthentic: false };
}

const policy = fc.constantFrom('none', 'quarantine', 'reject');
const anyNeeds: fc.Arbitrary<DomainNeeds> = fc.record({
  domain: fc.constant('example.org'),
  aliasDomains: fc.subarray(['example.net', 'example.com']),
  hostname: fc.constantFrom('mx.example.com', 'mail.example.org'),
  clientHost: fc.constantFrom('mx.example.com', 'mail.example.org'),
  services: fc.constant(needs.services),
  dkim: fc.constant(needs.dkim),
  dmarc: fc.record({
    policy: policy as fc.Arbitrary<'none'>,
    percent: fc.option(fc.nat(100)),
    rua: fc.subarray(['a@example.org', 'b@example.org']),
  }),
  mtaSts: fc.option(fc.constant({ id: '1' })),
  challenges: fc.constant(needs.challenges),
  addresses: fc.subarray(['192.0.2.1', '2001:db8::1']),
});

test('what is told to be published is taken for published, and nothing is Missing', () => {
  fc.assert(
    fc.property(anyNeeds, (some) => {
      for (const record of wantedRecords(some)) {
        expect(judgeAnswers(record, [answerOf(record)])).toEqual({ state: 'Published', found: [], detail: '' });
        expect(judgeAnswers(record, [{ kind: 'no-name', canonicalName: '', isAuthentic: false }]).state).toBe(
          'Missing',
        );
        expect(judgeAnswers(record, [{ kind: 'failure', reason: 'timeout' }]).state).toBe('Unknown');
      }
    }),
  );
});

const record = (purpose: string): WantedRecord => {
  const found = wantedRecords(needs).find((each) => each.purpose === purpose);
  if (!found) throw new Error(purpose);
  return found;
};
const texts = (...values: string[]): AnyAnswer => ({
  kind: 'records',
  records: values.map((value) => textStrings(value)),
  canonicalName: '',
  isAuthentic: false,
});
const mx = (...hosts: string[]): AnyAnswer => ({
  kind: 'records',
  records: hosts.map((exchange, i) => ({ preference: i, exchange })),
  canonicalName: '',
  isAuthentic: false,
});
const key = record('dkim').values[0] ?? '';
test.each<[string, WantedRecord, AnyAnswer[], string]>([
  ['our host among others', record('inbound'), [mx('other.example', 'mx.example.com')], 'Published'],
  ['only others', record('inbound'), [mx('other.example')], 'Mismatch'],
  ['no mail at all', record('inbound'), [mx('')], 'Mismatch'],
  ['servers that differ', record('inbound'), [mx('mx.example.com'), mx('old.example')], 'Mismatch'],
  [
    'a server that is away beside one that has it',
    record('inbound'),
    [mx('mx.example.com'), { kind: 'failure', reason: 'timeout' }],
    'Published',
  ],
  ['other texts beside SPF', record('spf'), [texts('google-site=1', 'v=spf1 -all')], 'Published'],
  ['texts without SPF', record('spf'), [texts('v=spf10 x')], 'Missing'],
  ['SPF twice', record('spf'), [texts('v=spf1 mx', 'v=spf1 -all')], 'Mismatch'],
  ['a stricter DMARC policy', record('dmarc'), [texts('v=DMARC1;p=reject')], 'Published'],
  ['a laxer one', record('dmarc'), [texts('v=DMARC1; p=none')], 'Mismatch'],
  ['none that anybody follows', record('dmarc'), [texts('v=DMARC1; sp=reject')], 'Mismatch'],
  [
    'the key with spaces and in another order',
    record('dkim'),
    [texts(key.replace('p=A', 'p= A').replace('k=rsa;', 'h=sha256;'))],
    'Published',
  ],
  ['another key', record('dkim'), [texts('v=DKIM1; k=rsa; p=BBBB')], 'Mismatch'],
  ['a key of another kind', record('dkim'), [texts(key.replace('k=rsa', 'k=ed25519'))], 'Mismatch'],
  ['a revoked key', record('dkim'), [texts('v=DKIM1; p=')], 'Mismatch'],
  ['another token', record('challenge'), [texts('postrider-challenge=0')], 'Mismatch'],
  ['the token among others', record('challenge'), [texts('postrider-challenge=0', 'token')], 'Published'],
])('%s', (_, wanted, answers, state) => {
  expect(judgeAnswers(wanted, answers).state).toBe(state);
});
