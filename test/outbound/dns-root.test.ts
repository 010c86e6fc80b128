/** Our resolver against a real validating one over a signed root. */
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '#shared/base/clock.ts';
import { ValidationWatch } from '#shared/dns/validation.ts';
import { DnsRoot } from '../harness/dns-root.ts';
import { lacks } from '../harness/programs.ts';

describe.skipIf(lacks('/usr/sbin/knotd', '/usr/sbin/unbound'))('over a signed root', () => {
  let root: DnsRoot;
  beforeAll(async () => {
    const long = Array.from({ length: 40 }, (_, i) => `big.test. TXT "${String(i).padStart(200, 'x')}"`);
    root = await DnsRoot.start({
      records: [
        'd.test. MX 10 mx.d.test.',
        'mx.d.test. A 127.0.0.2',
        'alias.test. CNAME mx.d.test.',
        'null.test. MX 0 .',
        '_25._tcp.mx.d.test. TLSA 3 1 1 0000000000000000000000000000000000000000000000000000000000000000',
        'xn--bcher-kva.test. MX 10 mx.d.test.',
        ...long,
      ],
      insecure: ['mail.insecure. MX 10 www.insecure.', 'www.insecure. A 127.0.0.1'],
    });
  }, 30_000);
  afterAll(async () => root?.[Symbol.asyncDispose]());

  test('answers and denials are authentic', async () => {
    const resolver = root.resolver();
    expect(await resolver.resolve('d.test', 'MX')).toEqual({
      kind: 'records',
      records: [{ preference: 10, exchange: 'mx.d.test' }],
      canonicalName: 'd.test',
      isAuthentic: true,
    });
    expect(await resolver.resolve('nothing.test', 'MX')).toMatchObject({ kind: 'no-name', isAuthentic: true });
    expect(await resolver.resolve('mx.d.test', 'MX')).toMatchObject({ kind: 'no-data', isAuthentic: true });
    expect(await resolver.resolve('alias.test', 'A')).toMatchObject({ canonicalName: 'mx.d.test', isAuthentic: true });
    expect(await resolver.resolve('null.test', 'MX')).toMatchObject({ records: [{ preference: 0, exchange: '' }] });
    expect(await resolver.resolve('xn--bcher-kva.test', 'MX')).toMatchObject({ kind: 'records' });
    expect(await resolver.resolve('_25._tcp.mx.d.test', 'TLSA')).toMatchObject({
      records: [{ usage: 3, selector: 1, matchingType: 1, certificate: Buffer.alloc(32) }],
      isAuthentic: true,
    });
  });

  test('what is not signed is not authentic; what is signed wrongly is bogus', async () => {
    const resolver = root.resolver();
    expect(await resolver.resolve('mail.insecure', 'MX')).toMatchObject({ kind: 'records', isAuthentic: false });
    expect(await resolver.resolve('mail.bogus', 'MX')).toEqual({ kind: 'failure', reason: 'bogus' });
  });

  test('a long answer comes over TCP', async () => {
    const answer = await root.resolver().resolve('big.test', 'TXT');
    expect(answer.kind === 'records' && answer.records.length).toBe(40);
  });

  test('whether it validates is found out', async () => {
    const logger = pino({ level: 'silent' });
    const watch = (server: typeof root.blind, bogusName: string) =>
      new ValidationWatch({ resolver: root.resolver(server), clock: systemClock, logger, bogusName }).current();
    expect((await watch(root.validating, 'www.bogus')).isValidating).toBe(true);
    expect(await watch(root.blind, 'www.bogus')).toEqual({
      isValidating: false,
      reason: 'answers about the signed root come without the AD bit',
    });
    // The name's signatures are not wrong, so whoever answers it need not have looked.
    expect((await watch(root.validating, 'mx.d.test')).isValidating).toBe(false);
  });
});
