/** What a zone's own servers say, past the caches of resolvers. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '#shared/base/clock.ts';
import { askAuthority } from '#shared/dns/authority.ts';
import { createResolver } from '#shared/dns/resolver.ts';
import { DnsRoot } from '../harness/dns-root.ts';
import { lacks } from '../harness/programs.ts';

const before = [
  'd.test. MX 10 mx.d.test.',
  '_imaps._tcp.d.test. SRV 0 1 993 mail.d.test.',
  '_dmarc.d.test. CNAME policy.insecure.',
  'away.test. NS ns.away.test.',
  'ns.away.test. A 127.0.0.3',
  'lame.test. NS ns.root-server.',
];

describe.skipIf(lacks('/usr/sbin/knotd', '/usr/sbin/unbound'))('the servers of a zone', () => {
  let root: DnsRoot;
  beforeAll(async () => {
    root = await DnsRoot.start({ records: before, insecure: ['policy.insecure. TXT "v=DMARC1; p=none"'] });
  });
  afterAll(async () => {
    await root[Symbol.asyncDispose]();
  });
  const ask = (name: string, type: 'MX' | 'SRV' | 'TXT') => {
    const resolver = createResolver({ servers: [root.validating], clock: systemClock, timeoutsMs: [500] });
    return askAuthority(name, type, { resolver, random: Math.random, port: root.blind.port, timeoutMs: 500 });
  };
  const answer = async (name: string, type: 'MX' | 'SRV' | 'TXT') => {
    const look = await ask(name, type);
    return look.kind === 'answers' ? look.answers[0]?.answer : look;
  };

  test('are found above the name and asked', async () => {
    expect(await ask('d.test', 'MX')).toEqual({
      kind: 'answers',
      zone: '',
      answers: [
        {
          server: 'ns.root-server',
          answer: {
            kind: 'records',
            records: [{ preference: 10, exchange: 'mx.d.test' }],
            canonicalName: 'd.test',
            isAuthentic: false,
          },
        },
      ],
    });
    expect(await answer('_imaps._tcp.d.test', 'SRV')).toMatchObject({
      records: [{ priority: 0, weight: 1, port: 993, target: 'mail.d.test' }],
    });
  });

  test('a CNAME leads to the servers of another zone', async () => {
    expect(await ask('_dmarc.d.test', 'TXT')).toMatchObject({ zone: 'insecure' });
    expect(await answer('_dmarc.d.test', 'TXT')).toMatchObject({ records: [['v=DMARC1; p=none']] });
  });

  test('what is published now is seen now, though the resolver keeps that there was nothing', async () => {
    const resolver = root.resolver();
    expect((await resolver.resolve('new.d.test', 'TXT')).kind).toBe('no-name');
    expect(await answer('new.d.test', 'TXT')).toMatchObject({ kind: 'no-name' });
    await root.publish([...before, 'new.d.test. TXT "here"']);
    expect(await answer('new.d.test', 'TXT')).toMatchObject({ records: [['here']] });
    expect((await resolver.resolve('new.d.test', 'TXT')).kind).toBe('no-name');
  });

  test('servers that are away, or not the servers of the zone, say nothing', async () => {
    expect(await ask('x.away.test', 'TXT')).toMatchObject({ kind: 'failure' });
    expect(await ask('x.lame.test', 'TXT')).toMatchObject({ kind: 'failure' });
  });
});
