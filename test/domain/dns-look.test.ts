/** A domain's records over a real, signed DNS: nothing there, all of it there, one after the other wrong. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '#shared/base/clock.ts';
import { createResolver } from '#shared/dns/resolver.ts';
import { dnsCondition, recordStatuses } from '#operator/domain/dns-condition.ts';
import { lookAtDomain, type DomainLook } from '#operator/domain/dns-look.ts';
import { wantedRecords, zoneLines, type DomainNeeds } from '#operator/domain/wanted-records.ts';
import { DnsRoot } from '../harness/dns-root.ts';
import { lacks } from '../harness/programs.ts';

const needs: DomainNeeds = {
  domain: 'd.test',
  aliasDomains: ['alias.test'],
  hostname: 'mx.server.test',
  clientHost: 'mail.d.test',
  services: { imaps: 993, submissions: 465, submission: 587 },
  dkim: ['d.test', 'alias.test'].map((domain) => ({
    domain,
    selector: 'r1',
    algorithm: 'rsa2048',
    state: 'pending',
    name: `r1._domainkey.${domain}.`,
    value: `v=DKIM1; k=rsa; p=${'A'.repeat(392)}`,
  })),
  dmarc: { policy: 'none', percent: null, rua: ['d@d.test'] },
  mtaSts: null,
  challenges: new Map([['d.test', 'postrider-challenge=1']]),
  addresses: ['192.0.2.1'],
};
const wanted = wantedRecords(needs);
const server = ['mx.server.test. A 192.0.2.1'];
const all = [...server, ...wanted.filter(({ name }) => !name.endsWith('arpa')).flatMap(zoneLines)];

describe.skipIf(lacks('/usr/sbin/knotd', '/usr/sbin/unbound'))('the records of a domain', () => {
  let root: DnsRoot;
  beforeAll(async () => {
    root = await DnsRoot.start({ records: server });
  });
  afterAll(async () => {
    await root[Symbol.asyncDispose]();
  });
  const look = (port = root.blind.port): Promise<DomainLook> => {
    const resolver = createResolver({ servers: [root.validating], clock: systemClock });
    const options = { resolver, random: Math.random, port, timeoutMs: 500, resolvers: [root.validating, root.blind] };
    return lookAtDomain({ wanted, addresses: needs.addresses, signal: new AbortController().signal }, options);
  };
  const condition = async (): Promise<string> => {
    const { status, reason } = dnsCondition(await look());
    return `${status} ${reason}`;
  };

  test('nothing is there', async () => {
    const found = await look();
    expect(dnsCondition(found)).toEqual({
      type: 'DNSReady',
      status: 'False',
      reason: 'ChallengeMissing',
      message:
        '10 of 10 required records are not there; missing: TXT _postrider-challenge.d.test, MX d.test, TXT d.test, ' +
        'TXT r1._domainkey.d.test, TXT _dmarc.d.test, MX alias.test, and 4 more. status.dnsRecords has what to publish.',
    });
    expect(new Set(recordStatuses(wanted, found).map(({ state }) => state))).toEqual(new Set(['Missing']));
    expect(found.servers).toEqual(['ns.root-server']);
  });

  test('all of it, as the status says it', async () => {
    await root.publish(all);
    const found = await look();
    expect(dnsCondition(found)).toMatchObject({ status: 'True', reason: 'Verified' });
    expect(found.records.filter(({ isEverywhere }) => isEverywhere).map(({ record }) => record.purpose)).toEqual([
      'dkim',
      'dkim',
    ]);
    const states = recordStatuses(wanted, found).filter(({ purpose }) => purpose !== 'ptr');
    expect(new Set(states.map(({ state }) => state))).toEqual(new Set(['Published']));
  });

  const without = (part: string): readonly string[] => all.filter((line) => !line.includes(part));
  test.each([
    ['False MXMissing', without('d.test. 3600 IN MX')],
    ['False MXMismatch', [...without('d.test. 3600 IN MX'), 'd.test. MX 10 other.test.']],
    ['False SPFMissing', without('d.test. 3600 IN TXT "v=spf1')],
    ['False SPFMismatch', [...without('d.test. 3600 IN TXT "v=spf1'), 'd.test. TXT "v=spf1 a -all"']],
    [
      'False SPFTooManyLookups',
      [...without('d.test. 3600 IN TXT "v=spf1'), `d.test. TXT "v=spf1 ${'a:mx.server.test '.repeat(11)}-all"`],
    ],
    ['False DKIMMissing', without('r1._domainkey')],
    ['False DKIMMismatch', [...without('r1._domainkey.d.test'), 'r1._domainkey.d.test. TXT "v=DKIM1; p=AAAA"']],
    ['False DMARCMissing', without('_dmarc')],
    ['False ClientHostMismatch', [...without('mail.d.test. 3600 IN CNAME'), 'mail.d.test. A 192.0.2.99']],
    ['True Verified', [...without('mail.d.test. 3600 IN CNAME'), 'mail.d.test. A 192.0.2.1']],
    ['True Verified', without('_imaps')],
  ])('%s', async (expected, records) => {
    await root.publish(records);
    expect(await condition()).toBe(expected);
  });

  test('servers that nobody can reach leave everything unknown', async () => {
    const found = await look(1);
    expect(dnsCondition(found)).toMatchObject({ status: 'Unknown', reason: 'LookupFailed' });
    expect(found.records.find(({ record }) => record.purpose === 'inbound')?.verdict).toEqual({
      state: 'Unknown',
      found: [],
      detail: 'no server of the zone . answers',
    });
  });
});
