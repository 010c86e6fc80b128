import { expect, test } from 'vitest';
import { fakeResolver, type FakeZone } from '../../test/harness/outbound.ts';
import { examineSpf } from './spf.ts';

const chain = (from: number, to: number): FakeZone =>
  Object.fromEntries(
    Array.from({ length: to - from + 1 }, (_, i) => [
      `TXT i${from + i}.test`,
      [[`v=spf1 include:i${from + i + 1}.test`]],
    ]),
  );
const zone: FakeZone = {
  'MX d.test': [{ preference: 10, exchange: 'mx.d.test' }],
  'A mx.d.test': ['192.0.2.1'],
  'A d.test': ['192.0.2.9'],
  'AAAA mx.d.test': ['2001:db8::1'],
  'TXT ok.test': [['v=spf1 ip4:198.51.100.0/24 ', '-all']],
  'TXT loop.test': [['v=spf1 include:loop.test']],
  'TXT away.test': 'servfail',
  ...chain(1, 30),
};
const examine = (text: string, ...addresses: string[]) => {
  return examineSpf('d.test', text, { resolver: fakeResolver(zone), addresses });
};

test.each<[string, string[], number, string[]]>([
  ['v=spf1 mx ~all', ['192.0.2.1', '2001:db8::1'], 1, []],
  ['v=spf1 mx ~all', ['192.0.2.2'], 1, ['192.0.2.2']],
  ['v=spf1 a -all', ['192.0.2.9'], 1, []],
  ['v=spf1 a/24 -all', ['192.0.2.77'], 1, []],
  ['v=spf1 a:mx.d.test//64 -all', ['2001:db8::99', '2001:db9::'], 1, ['2001:db9::']],
  ['v=spf1 -mx +all', ['192.0.2.1', '192.0.2.3'], 1, ['192.0.2.1']],
  ['v=spf1 include:ok.test ?all', ['198.51.100.3', '192.0.2.1'], 1, ['192.0.2.1']],
  ['v=spf1 ip4:192.0.2.1 ip6:2001:db8::/32 -all', ['192.0.2.1', '2001:db8::5'], 0, []],
  ['v=spf1 redirect=ok.test', ['198.51.100.3'], 1, []],
  ['v=spf1 all redirect=ok.test', ['203.0.113.1'], 0, []],
  ['v=spf1 exists:%{i}.x.test ptr mx -all', ['192.0.2.1'], 3, []],
  ['v=spf1', ['192.0.2.1'], 0, ['192.0.2.1']],
])('%s from %j', async (text, addresses, lookups, refused) => {
  expect(await examine(text, ...addresses)).toEqual({ lookups, refused, fault: '', failure: null });
});

test('a chain of includes is counted, an endless one not for ever', async () => {
  expect((await examine('v=spf1 include:i21.test')).lookups).toBe(11);
  expect((await examine('v=spf1 include:i1.test')).lookups).toBeGreaterThan(10);
  expect((await examine('v=spf1 include:loop.test')).lookups).toBeGreaterThan(10);
});

test.each([
  ['v=spf1 include:nothing.test -all', 'nothing.test, which it includes, has no SPF record'],
  ['v=spf1 ipv4:192.0.2.1 -all', 'ipv4 is no mechanism of SPF'],
  ['v=spf1 ip4:mx.d.test -all', 'mx.d.test is no network'],
])('%s is at fault', async (text, fault) => {
  expect((await examine(text)).fault).toBe(fault);
});

test('what could not be looked up is nobody’s fault', async () => {
  expect(await examine('v=spf1 include:away.test -all', '192.0.2.1')).toMatchObject({
    failure: 'servfail',
    refused: [],
  });
});
