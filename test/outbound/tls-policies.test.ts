/** DANE, MTA-STS, REQUIRETLS and what a route asks for, over a signed root, with peers that have good and bad certificates. */
import { createServer as createHttpsServer, type Server } from 'node:https';
import tls from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createAddressGuard } from '#shared/dns/address-guard.ts';
import type { StsPolicyStore, TlsDemand } from '#server/mail/outbound-routes.ts';
import type { TransportOptions } from '#server/transport/transport.ts';
import { makeAuthority, type Authority, type Issued } from '../harness/certificates.ts';
import { DnsRoot } from '../harness/dns-root.ts';
import {
  attemptOf,
  directTarget,
  memoryStsStore,
  only,
  outboundMessage,
  routeOf,
  smtpTarget,
  testTransport,
  told,
  type MessageOptions,
} from '../harness/outbound.ts';
import { freePorts } from '../harness/ports.ts';
import { lacks } from '../harness/programs.ts';
import { ScriptedPeer, type ScriptedPeerOptions } from '../harness/scripted-peer.ts';

/** Peers are at 127.0.0.1; policies are served where RFC 8461 has them, on another address of loopback. */
const policyAddress = '127.0.0.53';
const hosts = [
  'ee',
  'old',
  'ta',
  'ta-name',
  'full',
  'sha512',
  'unusable',
  'wrong',
  'rollover',
  'clear',
  'cname-real',
  'none',
  'sts',
  'testing',
  'named',
  'both',
  'nopolicy',
  'badpolicy',
  'sts-cert',
  'gone',
] as const;

let authority: Authority;
let stranger: Authority;
let good: Issued;
let expired: Issued;
/** Expired, and for a name that nobody has. */
let old: Issued;
let port = 0;
let root: DnsRoot;
let policies: Server;
/** By domain; what is not there is 404. */
const served = new Map<string, string>();
let fetched = 0;
const opened: AsyncDisposable[] = [];
const trusted = tls.getCACertificates('default');

function tlsa(host: string, record: string): string {
  return `_${port}._tcp.mx.${host}.test. TLSA ${record}`;
}

describe.skipIf(lacks('/usr/sbin/knotd', '/usr/sbin/unbound'))('TLS of direct mail', () => {
  beforeAll(async () => {
    [authority, stranger] = await Promise.all([makeAuthority('Test CA'), makeAuthority('Stranger')]);
    const names = hosts.map((host) => `mx.${host}.test`);
    [good, expired, old] = await Promise.all([
      authority.issue(names),
      authority.issue(names, -1),
      stranger.issue(['nobody.test'], -1),
    ]);
    const policyNames = hosts.filter((host) => host !== 'sts-cert').map((host) => `mta-sts.${host}.test`);
    const policyCertificate = await authority.issue(policyNames);
    [port] = (await freePorts(1)) as [number];
    const sts = ['sts', 'testing', 'named', 'both', 'nopolicy', 'badpolicy', 'sts-cert'];
    root = await DnsRoot.start({
      records: [
        ...hosts.flatMap((host) => [`${host}.test. MX 10 mx.${host}.test.`, `mx.${host}.test. A 127.0.0.1`]),
        'cname.test. MX 10 mx.cname.test.',
        'mx.cname.test. CNAME mx.cname-real.test.',
        tlsa('cname-real', `3 1 1 ${good.keyHash}`),
        tlsa('ee', `3 1 1 ${good.keyHash}`),
        tlsa('old', `3 1 1 ${old.keyHash}`),
        tlsa('ta', `2 0 1 ${authority.certificateHash}`),
        tlsa('ta-name', `2 1 1 ${authority.keyHash}`),
        tlsa('full', `2 0 0 ${authority.full}`),
        tlsa('sha512', `3 1 2 ${'00'.repeat(64)}`),
        tlsa('unusable', `1 1 1 ${good.keyHash}`),
        tlsa('wrong', `3 1 1 ${'ab'.repeat(32)}`),
        tlsa('rollover', `3 1 1 ${'ab'.repeat(32)}`),
        tlsa('rollover', `3 1 1 ${good.keyHash}`),
        tlsa('clear', `3 1 1 ${good.keyHash}`),
        tlsa('both', `3 1 1 ${'ab'.repeat(32)}`),
        `_${port}._tcp.mx.gone.test. NS ns.bogus.`,
        ...sts.flatMap((host) => [
          `_mta-sts.${host}.test. TXT "v=STSv1; id=1;"`,
          `mta-sts.${host}.test. A ${policyAddress}`,
        ]),
      ],
      insecure: [
        'plain.insecure. MX 10 mx.insecure.',
        'mx.insecure. A 127.0.0.1',
        `_${port}._tcp.mx.insecure. TLSA 3 1 1 ${'ab'.repeat(32)}`,
      ],
    });
    policies = createHttpsServer(policyCertificate, (request, response) => {
      fetched += 1;
      const text = served.get(String(request.headers.host).replace('mta-sts.', '').replace('.test', ''));
      response.writeHead(text === undefined ? 404 : 200, { 'content-type': 'text/plain' }).end(text);
    });
    await new Promise<void>((resolve, reject) => policies.once('error', reject).listen(443, policyAddress, resolve));
    tls.setDefaultCACertificates([...trusted, authority.cert]);
    const enforced = (mx: string, mode = 'enforce') => `version: STSv1\nmode: ${mode}\nmx: ${mx}\nmax_age: 600\n`;
    served.set('sts', enforced('mx.sts.test'));
    served.set('both', enforced('mx.both.test'));
    served.set('testing', enforced('mx.elsewhere.test', 'testing'));
    served.set('named', enforced('*.elsewhere.test'));
    served.set('badpolicy', 'version: STSv1\nmode: perhaps\n');
  }, 60_000);
  afterEach(async () => {
    for (const one of opened.splice(0)) await one[Symbol.asyncDispose]();
  });
  afterAll(async () => {
    tls.setDefaultCACertificates(trusted);
    await root?.[Symbol.asyncDispose]();
    await new Promise((resolve) => policies?.close(resolve));
  });

  async function peerOf(certificate: Issued | null, options: ScriptedPeerOptions = {}): Promise<ScriptedPeer> {
    const peer = await ScriptedPeer.start({ port, ...(certificate && { tls: certificate }), ...options });
    opened.push(peer);
    return peer;
  }

  type Given = Partial<TransportOptions> & { readonly demand?: TlsDemand; readonly message?: MessageOptions };

  async function send(domain: string, { demand = 'opportunistic', message, ...rest }: Given = {}) {
    const transport = testTransport([routeOf('r', [directTarget(port, { tls: demand })])], {
      resolver: root.resolver(),
      validation: () => Promise.resolve({ isValidating: true, reason: 'a test' }),
      // Refuses loopback: hosts are reached because the route lists them, policies are not.
      guard: createAddressGuard(),
      ...rest,
    });
    const outcome = only(await transport.send(attemptOf(outboundMessage(message), [`b@${domain}`]), 'r', domain));
    return { outcome, told: told(outcome), tls: outcome.facts.tls, sessions: transport.sessions };
  }

  const anywhere = { guard: { refusal: () => null } };

  describe('DANE', () => {
    test.each(['ee', 'ta', 'ta-name', 'full', 'rollover', 'cname'])(
      '%s: the certificate is the one that is named',
      async (host) => {
        const peer = await peerOf(good);
        const { outcome, tls, sessions } = await send(`${host}.test`);
        expect(outcome.kind).toBe('delivered');
        expect(tls).toMatchObject({ policy: 'dane', isVerified: true, result: 'success', version: 'TLSv1.3' });
        expect(sessions).toMatchObject([{ policyType: 'tlsa', result: 'success', policyDomain: `${host}.test` }]);
        // RFC 7672 section 8.1: the TLSA base domain is in SNI.
        expect(peer.sessions[0]?.servername).toBe(host === 'cname' ? 'mx.cname-real.test' : `mx.${host}.test`);
      },
    );

    test('neither dates nor names of an end entity matter (RFC 7672 section 3.1.1)', async () => {
      await peerOf(old);
      expect((await send('old.test')).outcome.kind).toBe('delivered');
    });

    test('a certificate of an anchor that has expired', async () => {
      await peerOf(expired);
      expect((await send('ta.test')).told).toBe(
        'later 4.7.5 the certificate is not the one that the TLSA records name (DANE)',
      );
    });

    test('a certificate of an anchor for another name', async () => {
      await peerOf(await authority.issue(['mx.other.test']));
      expect((await send('ta.test')).told).toMatch(/^later 4\.7\.5 .*\(DANE\)/);
    });

    test.each(['wrong', 'sha512'])('%s: another certificate, nothing is sent', async (host) => {
      const peer = await peerOf(good);
      const { told, tls, sessions } = await send(`${host}.test`);
      expect(told).toBe('later 4.7.5 the certificate is not the one that the TLSA records name (DANE)');
      expect(tls).toMatchObject({ policy: 'dane', result: 'validation-failure' });
      expect(sessions).toMatchObject([{ policyType: 'tlsa', result: 'validation-failure' }]);
      expect(peer.commands.some((line) => line.startsWith('MAIL'))).toBe(false);
    });

    test('no STARTTLS where TLSA records are: nothing is sent in clear', async () => {
      const peer = await peerOf(null);
      const { told, sessions } = await send('clear.test');
      expect(told).toBe('later 4.7.5 the peer does not offer STARTTLS');
      expect(sessions).toMatchObject([{ result: 'starttls-not-supported' }]);
      expect(peer.commands).toEqual(['EHLO us.test']);
    });

    test('records that mean nothing to mail: TLS is required, but not verified (RFC 7672 section 2.2)', async () => {
      const strangers = await stranger.issue(['elsewhere.test']);
      await peerOf(strangers);
      const { outcome, tls, sessions } = await send('unusable.test');
      expect(outcome.kind).toBe('delivered');
      expect(tls).toMatchObject({ policy: 'dane', isVerified: false });
      expect(sessions).toMatchObject([{ policyType: 'tlsa', result: 'tlsa-invalid' }]);
    });

    test('records in a zone that is not signed are none', async () => {
      await peerOf(good);
      const { outcome, tls } = await send('plain.insecure');
      expect(outcome.kind).toBe('delivered');
      expect(tls).toMatchObject({ policy: 'opportunistic' });
    });

    test('a resolver that does not validate: DANE is off', async () => {
      await peerOf(good);
      const validation = () => Promise.resolve({ isValidating: false, reason: 'a test' } as const);
      expect((await send('wrong.test', { validation })).tls).toMatchObject({ policy: 'opportunistic' });
    });

    test('TLSA records that can’t be looked up: not sent (RFC 7672 section 2.1.2)', async () => {
      const peer = await peerOf(good);
      const { told, sessions } = await send('gone.test');
      expect(told).toMatch(/^later 4\.7\.5 the TLSA records of mx\.gone\.test could not be looked up: /);
      expect(sessions).toMatchObject([{ result: 'dnssec-invalid' }]);
      expect(peer.sessions).toHaveLength(0);
    });

    test('a route that asks for DANE sends nowhere else', async () => {
      await peerOf(good);
      expect((await send('none.test', { demand: 'dane' })).told).toBe(
        'later 4.7.5 mx.none.test has no TLSA records in a signed zone, and the route asks for DANE',
      );
    });
  });

  describe('MTA-STS', () => {
    test('enforce: a host that the policy names, with a certificate that is trusted; the policy is fetched once', async () => {
      await peerOf(good);
      const stsPolicies = memoryStsStore();
      const before = fetched;
      for (let i = 0; i < 2; i++) {
        const { outcome, tls, sessions } = await send('sts.test', { ...anywhere, stsPolicies });
        expect(outcome.kind).toBe('delivered');
        expect(tls).toMatchObject({ policy: 'mta-sts', isVerified: true, result: 'success' });
        expect(sessions).toMatchObject([
          { policyType: 'sts', policyStrings: ['version: STSv1', 'mode: enforce', 'mx: mx.sts.test', 'max_age: 600'] },
        ]);
      }
      expect(fetched - before).toBe(1);
      expect(stsPolicies.policies.get('sts.test')).toMatchObject({ id: '1', mode: 'enforce', mx: ['mx.sts.test'] });
    });

    test('a policy that was fetched holds while its host is gone', async () => {
      await peerOf(null);
      const expiresAt = new Date(Date.now() + 60_000);
      const known = {
        id: '0',
        mode: 'enforce',
        mx: ['mx.nopolicy.test'],
        maxAgeSeconds: 600,
        expiresAt,
        checkedAt: new Date(),
      } as const;
      const stsPolicies: StsPolicyStore = { get: () => Promise.resolve(known), put: () => Promise.resolve() };
      const { told, sessions } = await send('nopolicy.test', { ...anywhere, stsPolicies });
      expect(told).toBe('later 4.7.5 the peer does not offer STARTTLS');
      expect(sessions).toMatchObject([{ policyType: 'sts', result: 'starttls-not-supported' }]);
    });

    test.each([
      ['expired', () => expired, 'later 4.7.5 the certificate of mx.sts.test has expired', 'certificate-expired'],
      [
        'of a stranger',
        () => stranger.issue(['mx.sts.test']),
        /^later 4\.7\.5 the certificate of mx\.sts\.test is from no authority/,
        'certificate-not-trusted',
      ],
      [
        'self-signed',
        () => stranger,
        'later 4.7.5 the certificate of mx.sts.test is self-signed',
        'certificate-not-trusted',
      ],
      [
        'of another name',
        () => authority.issue(['other.test']),
        'later 4.7.5 the certificate of mx.sts.test is for other names',
        'certificate-host-mismatch',
      ],
    ] as const)('enforce: a certificate that is %s', async (_, certificate, words, result) => {
      const peer = await peerOf(await certificate());
      const { told, sessions } = await send('sts.test', anywhere);
      if (typeof words === 'string') expect(told).toBe(words);
      else expect(told).toMatch(words);
      expect(sessions).toMatchObject([{ policyType: 'sts', result }]);
      expect(peer.commands.some((line) => line.startsWith('MAIL'))).toBe(false);
    });

    test('enforce: a host that the policy does not name', async () => {
      const peer = await peerOf(good);
      const { told, sessions } = await send('named.test', anywhere);
      expect(told).toBe('later 4.7.5 mx.named.test is not a host of named.test by its MTA-STS policy');
      expect(sessions).toMatchObject([{ policyType: 'sts', result: 'validation-failure' }]);
      expect(peer.sessions).toHaveLength(0);
    });

    test('testing: what is wrong is counted, and the mail goes', async () => {
      await peerOf(await stranger.issue(['elsewhere.test']));
      const { outcome, sessions } = await send('testing.test', anywhere);
      expect(outcome.kind).toBe('delivered');
      expect(sessions).toMatchObject([{ policyType: 'sts', policyStrings: expect.arrayContaining(['mode: testing']) }]);
      expect(sessions[0]?.result).not.toBe('success');
    });

    test.each([
      ['nopolicy', 'sts-policy-fetch-error'],
      ['badpolicy', 'sts-policy-invalid'],
      ['sts-cert', 'sts-webpki-invalid'],
    ])('%s: a policy that can’t be had is none, and is counted', async (host, result) => {
      await peerOf(good);
      const { outcome, tls, sessions } = await send(`${host}.test`, anywhere);
      expect(outcome.kind).toBe('delivered');
      expect(tls).toMatchObject({ policy: 'opportunistic' });
      expect(sessions).toMatchObject([{ policyType: 'no-policy-found', result }]);
    });

    test('a policy is not fetched from an address inside', async () => {
      await peerOf(good);
      const before = fetched;
      expect((await send('sts.test')).tls).toMatchObject({ policy: 'opportunistic' });
      expect(fetched).toBe(before);
    });

    test('never overrides a failure of DANE (RFC 8461 section 2)', async () => {
      await peerOf(good);
      expect((await send('both.test', anywhere)).told).toMatch(/^later 4\.7\.5 .*\(DANE\)/);
    });

    test('a route that asks for MTA-STS sends nowhere else', async () => {
      await peerOf(good);
      expect((await send('none.test', { ...anywhere, demand: 'mta-sts' })).told).toBe(
        'later 4.7.5 none.test has no MTA-STS policy, and the route asks for one',
      );
    });
  });

  describe('without a policy', () => {
    test('TLS where it is offered, whatever the certificate', async () => {
      const peer = await peerOf(expired);
      const { outcome, tls, sessions } = await send('none.test');
      expect(outcome.kind).toBe('delivered');
      expect(tls).toMatchObject({ policy: 'opportunistic', isVerified: false, result: 'certificate-expired' });
      expect(peer.sessions[0]?.isSecure).toBe(true);
      expect(sessions).toMatchObject([{ policyType: 'no-policy-found', result: 'success' }]);
    });

    test('in clear where the handshake fails, and where STARTTLS is refused', async () => {
      const broken = await peerOf(good, {
        tls: { ...good, minVersion: 'TLSv1.3', ciphers: 'TLS_CHACHA20_POLY1305_SHA256' },
        answer: (verb, _line, session) => {
          if (verb === 'STARTTLS' && session.commands.length > 0) return { lastWords: '220 go on' };
          return undefined;
        },
      });
      const { outcome, sessions } = await send('none.test');
      expect(outcome.kind).toBe('delivered');
      expect(broken.sessions).toHaveLength(2);
      expect(broken.sessions[1]?.isSecure).toBe(false);
      expect(sessions).toMatchObject([{ result: 'validation-failure' }]);
      await broken[Symbol.asyncDispose]();
      opened.length = 0;
      await peerOf(good, { answer: (verb) => (verb === 'STARTTLS' ? '454 4.7.0 not now' : undefined) });
      const refused = await send('none.test');
      expect(refused.outcome.kind).toBe('delivered');
      expect(refused.sessions).toMatchObject([{ result: 'starttls-not-supported' }]);
    });

    test('what a peer sends in clear behind its answer to STARTTLS ends the session (CVE-2011-0411)', async () => {
      const peer = await peerOf(good, {
        answer: (verb) => (verb === 'STARTTLS' ? '220 go on\r\n250-injected\r\n250 AUTH PLAIN' : undefined),
      });
      const { told } = await send('ee.test');
      expect(told).toMatch(/^later 4\.7\.5 (the peer sent more after its answer to STARTTLS|the TLS handshake failed)/);
      expect(peer.commands.some((line) => line.startsWith('MAIL'))).toBe(false);
    });

    test.each([
      ['required', () => good, 'delivered'],
      ['required', () => expired, 'later 4.7.5 the certificate of mx.none.test has expired'],
      ['disabled', () => good, 'delivered'],
    ] as const)('a route that says %s', async (demand, certificate, words) => {
      const peer = await peerOf(certificate());
      const { told } = await send('none.test', { demand });
      expect(told.startsWith(words)).toBe(true);
      if (words === 'delivered') expect(peer.sessions[0]?.isSecure).toBe(demand !== 'disabled');
    });
  });

  describe('TLS-Required: No (RFC 8689 section 3)', () => {
    const text = (field: string): string => `${field}From: <a@here.test>\r\n\r\nTLS-Required: No\r\n`;
    const waiving = text('TLS-Required: No\r\n');

    test.each(['wrong.test', 'both.test'])(
      '%s: the message goes past the policy, over TLS where it is offered',
      async (domain) => {
        await peerOf(good);
        const { outcome, tls } = await send(domain, { ...anywhere, message: { text: waiving } });
        expect(outcome.kind).toBe('delivered');
        expect(tls).toMatchObject({ policy: 'opportunistic', version: 'TLSv1.3' });
      },
    );

    test('in clear where it is not', async () => {
      await peerOf(null);
      const { outcome, tls } = await send('clear.test', { message: { text: waiving } });
      expect(outcome.kind).toBe('delivered');
      expect(tls?.version).toBeNull();
    });

    test.each<[what: string, options: MessageOptions, words: string, demand?: TlsDemand]>([
      ['the words in the body', {}, text('')],
      ['another value', {}, text('TLS-Required: Yes\r\n')],
      ['twice', {}, text('TLS-Required: No\r\nTLS-Required: No\r\n')],
      ['with REQUIRETLS', { requiresTls: true }, waiving],
      ['a route that asks for DANE', {}, waiving, 'dane'],
    ])('%s: the policy holds', async (_, options, words, demand = 'opportunistic') => {
      await peerOf(good);
      const { told } = await send('wrong.test', { demand, message: { text: words, ...options } });
      expect(told).toMatch(/^later 4\.7\.5 .*\(DANE\)/);
    });

    test('its connection is not for the next message', async () => {
      const peer = await peerOf(good);
      const transport = testTransport([routeOf('r', [directTarget(port)])], {
        resolver: root.resolver(),
        validation: () => Promise.resolve({ isValidating: true, reason: 'a test' }),
      });
      await using lane = transport.openLane({ route: 'r', domain: 'wrong.test' });
      const attempt = async (words: string): Promise<string> =>
        told(only(await lane.attempt(attemptOf(outboundMessage({ text: words }), ['b@wrong.test']))));
      expect(await attempt(waiving)).toMatch(/^delivered/);
      expect(await attempt(waiving)).toMatch(/^delivered/);
      expect(peer.sessions).toHaveLength(1);
      expect(await attempt(text(''))).toMatch(/^later 4\.7\.5/);
    });
  });

  describe('REQUIRETLS (RFC 8689)', () => {
    const message = { requiresTls: true };
    test('a signed zone, a certificate that is trusted, and the keyword', async () => {
      const peer = await peerOf(good, { keywords: ['REQUIRETLS'] });
      const { outcome, tls } = await send('none.test', { message });
      expect(outcome.kind).toBe('delivered');
      expect(tls).toMatchObject({ policy: 'requiretls', isVerified: true });
      expect(peer.commands).toContain('MAIL FROM:<a@here.test> REQUIRETLS');
    });
    test.each([
      [
        'the peer has not the keyword',
        () => good,
        [],
        'none.test',
        'never 5.7.30 the peer does not offer REQUIRETLS over a verified connection',
      ],
      [
        'the certificate is not trusted',
        () => expired,
        ['REQUIRETLS'],
        'none.test',
        'later 4.7.5 the certificate of mx.none.test has expired',
      ],
      [
        'the zone is not signed',
        () => good,
        ['REQUIRETLS'],
        'plain.insecure',
        'never 5.7.30 the sender asks for REQUIRETLS, but plain.insecure names its hosts neither in a signed zone nor by MTA-STS',
      ],
    ] as const)('%s', async (_, certificate, keywords, domain, words) => {
      await peerOf(certificate(), { keywords });
      expect((await send(domain, { message })).told).toBe(words);
    });
  });

  describe('smarthosts', () => {
    async function relay(peer: ScriptedPeer, rest: Partial<Parameters<typeof smtpTarget>[1]> = {}) {
      const target = smtpTarget(peer.port, { host: 'mx.none.test', tls: 'required', ...rest });
      const transport = testTransport([routeOf('r', [target])], { resolver: root.resolver() });
      const outcome = only(await transport.send(attemptOf(outboundMessage(), ['b@d.test']), 'r'));
      return { told: told(outcome), outcome };
    }
    const credentials = { user: 'user', password: 'pass' };

    test('STARTTLS, then the password; LOGIN where PLAIN is not offered', async () => {
      const peer = await peerOf(good, { keywords: ['AUTH PLAIN LOGIN'], beforeTls: [] });
      expect((await relay(peer, { credentials })).outcome.kind).toBe('delivered');
      expect(peer.commands.slice(0, 4)).toEqual([
        'EHLO us.test',
        'STARTTLS',
        'EHLO us.test',
        `AUTH PLAIN ${Buffer.from('\0user\0pass').toString('base64')}`,
      ]);
    });
    test('TLS from the first byte', async () => {
      const peer = await peerOf(good, { isImplicitTls: true });
      expect((await relay(peer, { tls: 'implicit' })).outcome.kind).toBe('delivered');
    });
    test('an authority of the route’s own', async () => {
      const strangers = await stranger.issue(['mx.none.test']);
      const peer = await peerOf(strangers);
      expect((await relay(peer)).told).toMatch(/^later 4\.7\.5 the certificate of mx\.none\.test is from no authority/);
      expect((await relay(peer, { ca: stranger.cert })).outcome.kind).toBe('delivered');
    });
    test('a certificate for another name, and no STARTTLS, are no way round', async () => {
      const peer = await peerOf(await authority.issue(['other.test']));
      expect((await relay(peer, { credentials })).told).toBe(
        'later 4.7.5 the certificate of mx.none.test is for other names',
      );
      await peer[Symbol.asyncDispose]();
      opened.length = 0;
      const clear = await peerOf(null, { keywords: ['AUTH PLAIN'] });
      expect((await relay(clear, { credentials, tls: 'opportunistic' })).told).toBe(
        'later 4.7.5 the peer does not offer STARTTLS',
      );
      expect(clear.commands).toEqual(['EHLO us.test']);
    });
  });
});
