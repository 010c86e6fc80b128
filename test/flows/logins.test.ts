import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { TLSSocket } from 'node:tls';
import { once } from 'node:events';
import { ImapFlow } from 'imapflow';
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey } from 'jose';
import { createTransport } from 'nodemailer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LineClient } from '../harness/line-client.ts';
import { lacks } from '../harness/programs.ts';
import { runProgram } from '../harness/run-program.ts';
import { ScramClient, type ScramClientOptions } from '../harness/scram-client.ts';
import { startService, users, type Service } from '../harness/service.ts';

const { alice, bob } = users;
const audience = 'mail.example.test';
const secondDomain = `
apiVersion: postrider.dev/v1alpha1
kind: MailDomain
metadata: {name: second}
spec: {domain: second.test, aliasDomains: [alias.test]}
`;

let issuer: Issuer;
let service: Service;
beforeAll(async () => {
  issuer = await startIssuer();
  service = await startService({
    env: { OAUTH_ISSUER: issuer.url, OAUTH_AUDIENCE: audience },
    manifests: secondDomain,
  });
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
  issuer.server.close();
});

type Issuer = { readonly url: string; readonly key: CryptoKey; readonly server: Server; isDown: boolean };

/** An OpenID Connect issuer, as far as its keys are concerned. */
async function startIssuer(): Promise<Issuer> {
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: 'one', alg: 'ES256', use: 'sig' }] };
  const server = createServer((request, response) => {
    if (found.isDown) {
      response.writeHead(503).end();
      return;
    }
    response.setHeader('content-type', 'application/json');
    const isKeys = request.url === '/keys';
    response.end(JSON.stringify(isKeys ? jwks : { issuer: found.url, jwks_uri: `${found.url}/keys` }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const found = { url, key: privateKey, server, isDown: false };
  return found;
}

type TokenOptions = {
  readonly email?: string;
  readonly key?: CryptoKey;
  readonly audience?: string;
  readonly issuer?: string;
  readonly expires?: string;
  readonly claims?: Readonly<Record<string, unknown>>;
};

function token(options: TokenOptions = {}): Promise<string> {
  return new SignJWT({ email: options.email ?? alice.address, ...options.claims })
    .setProtectedHeader({ alg: 'ES256', kid: 'one' })
    .setIssuer(options.issuer ?? issuer.url)
    .setAudience(options.audience ?? audience)
    .setIssuedAt()
    .setExpirationTime(options.expires ?? '5m')
    .sign(options.key ?? issuer.key);
}

async function smtp(options: Parameters<typeof LineClient.connect>[2] = {}): Promise<LineClient> {
  const client = await LineClient.connect(service.ports.submissionTls, true, options);
  await client.ask('EHLO client.test', /^250 /);
  return client;
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const scramOf = (options: Partial<ScramClientOptions> = {}): ScramClient =>
  new ScramClient({
    hash: 'sha256',
    login: alice.address,
    password: alice.password,
    header: 'n,,',
    binding: Buffer.alloc(0),
    ...options,
  });

/** The last line of the exchange. */
async function scramOverSmtp(client: LineClient, mechanism: string, scram: ScramClient): Promise<string> {
  const challenge = await client.ask(`AUTH ${mechanism} ${scram.first()}`, /^\d{3}/);
  if (!challenge.startsWith('334 ')) return challenge;
  const verifier = await client.ask(scram.final(challenge.slice(4)), /^\d{3}/);
  if (!verifier.startsWith('334 ')) return verifier;
  expect(scram.accepts(verifier.slice(4))).toBe(true);
  return client.ask('', /^\d{3}/);
}

async function scramOverImap(client: LineClient, mechanism: string, scram: ScramClient): Promise<string> {
  const challenge = await client.ask(`a AUTHENTICATE ${mechanism}`, /^\+|^a /);
  expect(challenge).toBe('+ ');
  const first = await client.ask(scram.first(), /^\+|^a /);
  const verifier = await client.ask(scram.final(first.slice(2)), /^\+|^a /);
  if (!verifier.startsWith('+ ')) return verifier;
  expect(scram.accepts(verifier.slice(2))).toBe(true);
  return client.ask('', /^a /);
}

function exporter({ socket }: LineClient): Buffer {
  if (!(socket instanceof TLSSocket)) throw new Error('no TLS');
  return socket.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0));
}

test('what is announced: the strongest first, and -PLUS only inside TLS', async () => {
  const inTls = await LineClient.connect(service.ports.submissionTls, true);
  expect(await inTls.ask('EHLO client.test', /AUTH/)).toBe(
    '250-AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-1 PLAIN LOGIN OAUTHBEARER XOAUTH2',
  );
  const imap = await LineClient.connect(service.ports.imapTls, true);
  expect(await imap.ask('a CAPABILITY', /^\* CAPABILITY/)).toContain(
    'AUTH=SCRAM-SHA-256-PLUS AUTH=SCRAM-SHA-256 AUTH=SCRAM-SHA-1-PLUS AUTH=SCRAM-SHA-1 AUTH=PLAIN AUTH=OAUTHBEARER AUTH=XOAUTH2',
  );
  await inTls[Symbol.asyncDispose]();
  await imap[Symbol.asyncDispose]();
});

test.each([
  ['SCRAM-SHA-256', 'sha256'],
  ['SCRAM-SHA-1', 'sha1'],
] as const)('%s over SMTP and IMAP, without and with channel binding (RFC 5802, RFC 9266)', async (name, hash) => {
  for (const isBound of [false, true]) {
    const mechanism = isBound ? `${name}-PLUS` : name;
    await using client = await smtp();
    const header = isBound ? 'p=tls-exporter,,' : 'n,,';
    const binding = isBound ? exporter(client) : Buffer.alloc(0);
    expect(await scramOverSmtp(client, mechanism, scramOf({ hash, header, binding }))).toMatch(/^235 2\.7\.0/);
    await using imap = await LineClient.connect(service.ports.imapTls, true);
    const other = isBound ? exporter(imap) : Buffer.alloc(0);
    expect(await scramOverImap(imap, mechanism, scramOf({ hash, header, binding: other }))).toMatch(/^a OK/);
  }
});

test('with TLS 1.2 the binding names the certificate (RFC 5929 section 4)', async () => {
  const certificate = new X509Certificate(readFileSync(service.certificateFile));
  const binding = createHash('sha256').update(certificate.raw).digest();
  await using client = await smtp({ maxVersion: 'TLSv1.2' });
  const header = 'p=tls-server-end-point,,';
  expect(await scramOverSmtp(client, 'SCRAM-SHA-256-PLUS', scramOf({ header, binding }))).toMatch(/^235/);
  await using second = await smtp({ maxVersion: 'TLSv1.2' });
  const exported = scramOf({ header: 'p=tls-exporter,,', binding: exporter(second) });
  expect(await scramOverSmtp(second, 'SCRAM-SHA-256-PLUS', exported)).toMatch(/^535/);
});

test.each([
  [
    'the binding of another connection',
    'SCRAM-SHA-256-PLUS',
    { header: 'p=tls-exporter,,', binding: Buffer.alloc(32) },
    /^535/,
  ],
  ['an offer of -PLUS that somebody took away', 'SCRAM-SHA-256', { header: 'y,,' }, /^535/],
  ['-PLUS without a binding', 'SCRAM-SHA-256-PLUS', { header: 'n,,' }, /^501/],
  ['a binding without -PLUS', 'SCRAM-SHA-256', { header: 'p=tls-exporter,,' }, /^501/],
  ['a wrong password', 'SCRAM-SHA-256', { password: 'wrong' }, /^535 5\.7\.8 Authentication credentials invalid$/],
  ['nobody', 'SCRAM-SHA-256', { login: 'nobody@example.test' }, /^535 5\.7\.8 Authentication credentials invalid$/],
  ['to act for another', 'SCRAM-SHA-256', { header: `n,a=${bob.address},` }, /^535/],
] as const)('SCRAM with %s is refused', async (_, mechanism, options, reply) => {
  await using client = await smtp();
  expect(await scramOverSmtp(client, mechanism, scramOf(options))).toMatch(reply);
  expect(await client.ask('MAIL FROM:<alice@example.test>', /^\d{3}/)).toMatch(/^530/);
});

async function saltOf(login: string): Promise<string> {
  await using client = await smtp();
  const challenge = await client.ask(`AUTH SCRAM-SHA-256 ${scramOf({ login }).first()}`, /^334 /);
  const text = Buffer.from(challenge.slice(4), 'base64').toString();
  const [, salt = '', iterations] = /,s=([^,]+),i=(\d+)$/.exec(text) ?? [];
  // Those of a password that was chosen, or generated.
  expect(['16384', '4096']).toContain(iterations);
  expect(Buffer.from(salt, 'base64')).toHaveLength(16);
  return `${salt} ${iterations}`;
}

test('how many iterations are asked for says nothing of whether there is somebody', async () => {
  const names = Array.from({ length: 20 }, (_, n) => `nobody${n}@example.test`);
  const asked: (string | undefined)[] = [];
  for (const name of names) asked.push((await saltOf(name)).split(' ')[1]);
  expect(new Set(asked)).toEqual(new Set(['16384', '4096']));
});

test('a name that nobody has is asked with a salt that lasts, as any other', async () => {
  const salts = new Map<string, string[]>();
  for (const login of [alice.address, 'nobody@example.test', 'Nobody@example.test', 'other@example.test']) {
    for (let n = 0; n < 2; n++) {
      const key = login.toLowerCase();
      salts.set(key, [...(salts.get(key) ?? []), await saltOf(login)]);
    }
  }
  const distinct = [...salts.values()].map((found) => new Set(found));
  expect(distinct.map(({ size }) => size)).toEqual([1, 1, 1]);
  expect(new Set(distinct.flatMap((found) => [...found])).size).toBe(3);
});

test.each([
  ['quoted', [alice.address, '"alice"@example.test'], ['nobody@example.test', '"nobody"@example.test']],
  ['composed', [], ['jos\u00e9@example.test', 'jose\u0301@example.test']],
  ['at an alias domain', [], ['nobody@second.test', 'nobody@alias.test']],
  ['at a domain elsewhere', [], ['nobody@b\u00fccher.test', 'nobody@xn--bcher-kva.test']],
])('the salt tells nobody from somebody no better where the name is written another way: %s', async (_, ...names) => {
  for (const logins of names) expect(new Set(await Promise.all(logins.map(saltOf))).size).toBeLessThanOrEqual(1);
});

test('an exchange can be given up, and another one begun', async () => {
  await using client = await smtp();
  expect(await client.ask(`AUTH SCRAM-SHA-256 ${scramOf().first()}`, /^\d{3}/)).toMatch(/^334 /);
  expect(await client.ask('*', /^\d{3}/)).toBe('501 5.7.0 Authentication cancelled');
  expect(await scramOverSmtp(client, 'SCRAM-SHA-256', scramOf())).toMatch(/^235/);
});

test('tokens open their account, with OAUTHBEARER (RFC 7628) and with XOAUTH2', async () => {
  const bearer = await token();
  for (const [mechanism, response] of [
    ['OAUTHBEARER', `n,a=${alice.address},\x01auth=Bearer ${bearer}\x01\x01`],
    ['OAUTHBEARER', `n,,\x01host=localhost\x01port=465\x01auth=Bearer ${bearer}\x01\x01`],
    ['XOAUTH2', `user=${alice.address}\x01auth=Bearer ${bearer}\x01\x01`],
  ] as const) {
    await using client = await smtp();
    expect(await client.ask(`AUTH ${mechanism} ${base64(response)}`, /^\d{3}/)).toMatch(/^235/);
    expect(await client.ask(`MAIL FROM:<${alice.address}>`, /^\d{3}/)).toMatch(/^250/);
  }
});

test.each([
  ['is past its time', { expires: '-2m' }],
  ['is for another service', { audience: 'other.test' }],
  ['is of another issuer', { issuer: 'https://other.test' }],
  ['names nobody here', { email: 'nobody@example.test' }],
  ['is of another account', { email: bob.address }],
  ['has an address that was never checked', { claims: { email_verified: false } }],
  ['has one of which a text says so', { claims: { email_verified: 'false' } }],
] as const)('a token that %s is refused, after the error (RFC 7628 section 3.2.2)', async (_, options) => {
  await using client = await smtp();
  const response = `n,a=${alice.address},\x01auth=Bearer ${await token(options)}\x01\x01`;
  const error = await client.ask(`AUTH OAUTHBEARER ${base64(response)}`, /^\d{3}/);
  expect(JSON.parse(Buffer.from(error.slice(4), 'base64').toString())).toEqual({
    status: 'invalid_token',
    'openid-configuration': `${issuer.url}/.well-known/openid-configuration`,
  });
  expect(await client.ask('AQ==', /^\d{3}/)).toBe('535 5.7.8 Authentication credentials invalid');
});

test('a token that somebody else signed is refused, and one without a signature', async () => {
  const { privateKey } = await generateKeyPair('ES256');
  const [, claims = ''] = (await token()).split('.');
  const unsigned = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${claims}.`;
  for (const forged of [await token({ key: privateKey }), unsigned, 'nonsense']) {
    await using client = await smtp();
    const response = `n,,\x01auth=Bearer ${forged}\x01\x01`;
    expect(await client.ask(`AUTH OAUTHBEARER ${base64(response)}`, /^\d{3}/)).toMatch(/^334/);
    expect(await client.ask('AQ==', /^\d{3}/)).toMatch(/^535/);
  }
  expect(service.log()).not.toContain(claims);
});

test('while the keys of the issuer can not be had, the answer is later, not wrong', async () => {
  const other = await startIssuer();
  other.isDown = true;
  await using lonely = await startService({ env: { OAUTH_ISSUER: other.url, OAUTH_AUDIENCE: audience } });
  await using client = await LineClient.connect(lonely.ports.submissionTls, true);
  await client.ask('EHLO client.test', /^250 /);
  const bearer = await token({ issuer: other.url, key: other.key });
  const login = `AUTH OAUTHBEARER ${base64(`n,,\x01auth=Bearer ${bearer}\x01\x01`)}`;
  expect(await client.ask(login, /^\d{3}/)).toMatch(/^454 4\.7\.0/);
  other.isDown = false;
  expect(await client.ask(login, /^\d{3}/)).toMatch(/^235/);
  other.server.close();
});

test('imapflow and nodemailer log in with a token', async () => {
  const accessToken = await token();
  const imap = new ImapFlow({
    host: 'localhost',
    port: service.ports.imapTls,
    secure: true,
    tls: { rejectUnauthorized: false },
    logger: false,
    auth: { user: alice.address, accessToken },
  });
  await imap.connect();
  expect(imap.authenticated).toBe(true);
  await imap.logout();
  const transport = createTransport({
    host: '127.0.0.1',
    port: service.ports.submissionTls,
    secure: true,
    tls: { rejectUnauthorized: false },
    auth: { type: 'OAuth2', user: alice.address, accessToken },
  });
  await expect(transport.verify()).resolves.toBe(true);
  transport.close();
});

describe.skipIf(lacks('msmtp'))('msmtp', () => {
  test.each(['scram-sha-256', 'scram-sha-1', 'plain', 'login', 'oauthbearer', 'xoauth2'])('%s', async (mechanism) => {
    const isToken = mechanism.startsWith('o') || mechanism.startsWith('x');
    const password = isToken ? await token() : alice.password;
    const sent = await runProgram(
      'msmtp',
      [
        '--host=127.0.0.1',
        `--port=${service.ports.submission}`,
        '--tls=on',
        '--tls-starttls=on',
        '--tls-certcheck=off',
        `--auth=${mechanism}`,
        `--user=${alice.address}`,
        `--passwordeval=printf %s '${password}'`,
        `--from=${alice.address}`,
        bob.address,
      ],
      { input: `From: ${alice.address}\nSubject: ${mechanism}\n\nhi\n` },
    );
    expect(sent).toMatchObject({ code: 0, stderr: '' });
  });
});
