import { describe, expect, test } from 'vitest';
import { createAddressGuard } from './address-guard.ts';
import type { DnsAnswer, RecordType, Resolver } from './answer.ts';
import { addressOfLiteral } from './host-addresses.ts';
import { findMailHosts, sortByPreference } from './mail-hosts.ts';
import type { MailHosts } from './mail-hosts.ts';
import { isNetwork, networkMatcher } from './networks.ts';
import { systemClock } from '#shared/base/clock.ts';
import { pino } from 'pino';
import { ValidationWatch } from './validation.ts';

type Zone = Readonly<Record<string, unknown[] | 'nodata' | 'servfail' | 'timeout'>>;

/** "TYPE name" → records; what is not there is NXDOMAIN unless the name has something else. */
function zone(records: Zone, isAuthentic = false): Resolver {
  return {
    resolve: async (name: string, type: RecordType) => {
      const found = records[`${type} ${name}`];
      const reply = (answer: unknown) => answer as DnsAnswer<never>;
      if (found === 'servfail' || found === 'timeout') return reply({ kind: 'failure', reason: found });
      if (Array.isArray(found)) return reply({ kind: 'records', records: found, canonicalName: name, isAuthentic });
      const exists = Object.keys(records).some((key) => key.endsWith(` ${name}`));
      return reply({ kind: exists ? 'no-data' : 'no-name', canonicalName: name, isAuthentic });
    },
  };
}

const mx = (preference: number, exchange: string) => ({ preference, exchange });

function find(records: Zone, own: readonly string[] = []): Promise<MailHosts> {
  const isOwn = (each: string): boolean => own.includes(each);
  const options = { resolver: zone(records), isOwnName: isOwn, isOwnAddress: isOwn, random: () => 0.5 };
  return findMailHosts('d.test', options);
}

function namesOf(found: MailHosts): readonly string[] {
  return found.kind === 'hosts' ? found.hosts.map(({ name }) => name) : [found.kind];
}

describe('hosts of a domain (RFC 5321 section 5.1)', () => {
  test('by preference, each with the addresses of both families in turn', async () => {
    const found = await find({
      'MX d.test': [mx(20, 'b.test'), mx(10, 'a.test')],
      'A a.test': ['192.0.2.1', '192.0.2.2'],
      'AAAA a.test': ['2001:db8::1'],
      'A b.test': ['192.0.2.3'],
    });
    expect(namesOf(found)).toEqual(['a.test', 'b.test']);
    expect(found.kind === 'hosts' && found.hosts[0]?.addresses).toEqual(['2001:db8::1', '192.0.2.1', '192.0.2.2']);
    expect(found).toMatchObject({ isByMx: true });
  });

  test('one preference is shuffled: both come first equally often', () => {
    let seed = 1;
    const random = (): number => ((seed = (seed * 16_807) % 2_147_483_647) - 1) / 2_147_483_646;
    const first = Array.from({ length: 2000 }, () => sortByPreference([mx(9, 'a'), mx(9, 'b'), mx(1, 'c')], random));
    expect(first.every((order) => order[0]?.exchange === 'c')).toBe(true);
    const share = first.filter((order) => order[1]?.exchange === 'a').length / 2000;
    expect(share).toBeGreaterThan(0.45);
    expect(share).toBeLessThan(0.55);
  });

  test('no MX: the domain is its own host', async () => {
    const found = await find({ 'A d.test': ['192.0.2.1'] });
    expect(namesOf(found)).toEqual(['d.test']);
    expect(found).toMatchObject({ isByMx: false });
  });

  test('an MX whose hosts have no address is not replaced by the domain’s address', async () => {
    const found = await find({ 'MX d.test': [mx(1, 'gone.test')], 'A d.test': ['192.0.2.1'] });
    expect(found).toEqual({ kind: 'no-host', names: ['gone.test'] });
  });

  test('null MX (RFC 7505)', async () => {
    expect(await find({ 'MX d.test': [mx(0, '')], 'A d.test': ['192.0.2.1'] })).toEqual({ kind: 'null-mx' });
  });

  test('an IP address as exchange is no host', async () => {
    expect(await find({ 'MX d.test': [mx(0, '192.0.2.1')] })).toEqual({ kind: 'no-host', names: ['192.0.2.1'] });
  });

  test('no such domain; a domain without mail', async () => {
    expect(await find({})).toEqual({ kind: 'no-such-domain' });
    expect(await find({ 'TXT d.test': [['x']] })).toEqual({ kind: 'no-host', names: ['d.test'] });
  });

  test('the DNS fails: for the domain, and for all of its hosts', async () => {
    expect(await find({ 'MX d.test': 'servfail' })).toEqual({ kind: 'failure', reason: 'servfail', name: 'd.test' });
    const found = await find({ 'MX d.test': [mx(1, 'a.test')], 'A a.test': 'timeout', 'AAAA a.test': 'timeout' });
    expect(found).toEqual({ kind: 'failure', reason: 'timeout', name: 'a.test' });
  });

  test('one host whose lookup fails does not keep the others', async () => {
    const records = {
      'MX d.test': [mx(1, 'a.test'), mx(2, 'b.test')],
      'A a.test': 'servfail',
      'A b.test': ['192.0.2.1'],
    } as const;
    expect(
      namesOf(await find({ ...records, 'MX d.test': [...records['MX d.test']], 'A b.test': ['192.0.2.1'] })),
    ).toEqual(['b.test']);
  });

  test('we are among them: by name or by address, only better ones are tried; where we are best it is a loop', async () => {
    const records: Zone = {
      'MX d.test': [mx(10, 'a.test'), mx(20, 'us.test'), mx(20, 'c.test'), mx(30, 'b.test')],
      'A a.test': ['192.0.2.1'],
      'A us.test': ['192.0.2.9'],
      'A b.test': ['192.0.2.2'],
      'A c.test': ['192.0.2.3'],
    };
    expect(namesOf(await find(records, ['us.test']))).toEqual(['a.test']);
    expect(namesOf(await find(records, ['192.0.2.9']))).toEqual(['a.test']);
    expect(await find(records, ['192.0.2.1'])).toEqual({ kind: 'self', name: 'a.test' });
    expect(await find({ 'A d.test': ['192.0.2.1'] }, ['192.0.2.1'])).toEqual({ kind: 'self', name: 'd.test' });
  });
});

test('address literals (RFC 5321 section 4.1.3)', () => {
  expect(addressOfLiteral('[192.0.2.1]')).toBe('192.0.2.1');
  expect(addressOfLiteral('[ipv6:2001:db8::1]')).toBe('2001:db8::1');
  expect(addressOfLiteral('d.test')).toBeNull();
});

describe('addresses that strangers may not lead us to', () => {
  const guard = createAddressGuard();
  test.each([
    ['127.0.0.1', 'this-host'],
    ['0.0.0.0', 'this-host'],
    ['::1', 'this-host'],
    ['::ffff:127.0.0.1', 'this-host'],
    ['::ffff:7f00:1', 'this-host'],
    ['64:ff9b::7f00:1', 'this-host'],
    ['2002:7f00:1::', 'this-host'],
    ['169.254.169.254', 'metadata'],
    ['::ffff:169.254.169.254', 'metadata'],
    ['fd00:ec2::254', 'metadata'],
    ['168.63.129.16', 'metadata'],
    ['169.254.1.1', 'link-local'],
    ['fe80::1', 'link-local'],
    ['10.96.0.1', 'private'],
    ['172.31.255.255', 'private'],
    ['192.168.1.1', 'private'],
    ['100.64.0.1', 'private'],
    ['fd12::1', 'private'],
    ['224.0.0.1', 'not-unicast'],
    ['255.255.255.255', 'not-unicast'],
    ['ff02::1', 'not-unicast'],
    ['nonsense', 'not-unicast'],
    ['172.32.0.1', null],
    ['8.8.8.8', null],
    ['2001:4860:4860::8888', null],
    ['64:ff9b::808:808', null],
  ])('%s: %s', (address, refusal) => {
    expect(guard.refusal(address)).toBe(refusal);
  });

  test('which networks are private is a setting; those of this machine are not', () => {
    const own = createAddressGuard(['203.0.113.0/24']);
    expect([own.refusal('203.0.113.5'), own.refusal('10.0.0.1'), own.refusal('127.0.0.1')]).toEqual([
      'private',
      null,
      'this-host',
    ]);
  });

  test('networks', () => {
    expect(['10.0.0.0/8', '::/0', '192.0.2.1'].every(isNetwork)).toBe(true);
    expect(['10.0.0.0/33', 'x/8', '10.0.0.0/8/8', '10.0.0.0/-1', ''].some(isNetwork)).toBe(false);
    expect(networkMatcher(['127.0.0.0/8'])('127.9.9.9')).toBe(true);
    expect(networkMatcher([])('127.9.9.9')).toBe(false);
  });
});

describe('whether the resolver validates', () => {
  const watch = (records: Zone, isAuthentic: boolean, bogusName = 'bogus.test') =>
    new ValidationWatch({
      resolver: zone(records, isAuthentic),
      clock: systemClock,
      logger: pino({ level: 'silent' }),
      bogusName,
    });
  test('it does: the root is signed, wrong signatures are SERVFAIL', async () => {
    const watching = watch({ 'NS .': ['a.root'], 'A bogus.test': 'servfail' }, true);
    expect(watching.last).toBeNull();
    expect((await watching.current()).isValidating).toBe(true);
    expect(watching.last?.isValidating).toBe(true);
  });
  test.each([
    ['no AD', { 'NS .': ['a.root'], 'A bogus.test': 'servfail' }, false, /without the AD bit/],
    ['AD set blindly', { 'NS .': ['a.root'], 'A bogus.test': ['192.0.2.1'] }, true, /though its signatures are wrong/],
    ['no root', { 'NS .': 'timeout' }, true, /no answer in time/],
    ['no answer about the bogus name', { 'NS .': ['a.root'], 'A bogus.test': 'timeout' }, true, /no answer in time/],
  ] as const)('it does not: %s', async (_, records, isAuthentic, reason) => {
    const found = await watch(records as unknown as Zone, isAuthentic).current();
    expect(found.isValidating).toBe(false);
    expect(found.reason).toMatch(reason);
  });
});
