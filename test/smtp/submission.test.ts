import nodemailer from 'nodemailer';
import { afterEach, expect, test } from 'vitest';
import { authPlain, openBench, type Bench, type BenchOverrides, type SmtpClient } from './smtp-bench.ts';

let bench: Bench;
afterEach(() => bench[Symbol.asyncDispose]());

async function open(overrides: BenchOverrides = {}): Promise<SmtpClient> {
  bench = await openBench({ ...overrides, options: { kind: 'submission', ...overrides.options } });
  const client = await bench.dial();
  await client.reply();
  return client;
}

async function openInTls(overrides: BenchOverrides = {}): Promise<SmtpClient> {
  const client = await open({ ...overrides, options: { tls: 'implicit', ...overrides.options } });
  await client.say('EHLO client.test');
  return client;
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const message = 'From: alice@home.test\r\nBcc: bob@home.test\r\n\r\nhi\r\n';

test('before STARTTLS no AUTH is offered or taken, and no mail', async () => {
  using client = await open();
  expect(await client.say('EHLO client.test')).not.toContain('AUTH');
  expect(await client.say(authPlain())).toMatch(/^538 5\.7\.11/);
  expect(await client.say('MAIL FROM:<alice@home.test>')).toBe('530 5.7.0 Must issue a STARTTLS command first');
});

test('after STARTTLS: AUTH is offered and required, and what was said before is forgotten (RFC 3207 section 4.2)', async () => {
  using client = await open();
  await client.say('EHLO client.test');
  await client.startTls();
  expect(await client.say('MAIL FROM:<alice@home.test>')).toMatch(/^503 /);
  const offered = await client.say('EHLO client.test');
  expect(offered).toContain('250-AUTH PLAIN LOGIN|');
  expect(offered).not.toContain('STARTTLS');
  expect(await client.say('MAIL FROM:<alice@home.test>')).toBe('530 5.7.0 Authentication required');
  expect(await client.say('STARTTLS')).toMatch(/^503 5\.5\.1/);
  expect(await client.say(authPlain())).toMatch(/^235 2\.7\.0/);
  expect(await client.say(authPlain())).toMatch(/^503 5\.5\.1/);
  expect(await client.say('EHLO client.test')).not.toContain('AUTH');
  expect(await client.say('MAIL FROM:<alice@home.test>')).toMatch(/^250 2\.1\.0/);
});

test('commands sent in clear behind STARTTLS are not obeyed inside TLS', async () => {
  using client = await open();
  await client.say('EHLO client.test');
  client.write('STARTTLS\r\nEHLO attacker.test\r\nMAIL FROM:<x@y.test>\r\n');
  expect(await client.reply()).toMatch(/^220 2\.0\.0/);
  await client.handshake();
  expect(await client.say('NOOP')).toBe('250 2.0.0 OK');
  expect(await client.say('MAIL FROM:<x@y.test>')).toMatch(/^503 /);
});

test('AUTH LOGIN, with and without the name in the first line', async () => {
  using client = await openInTls();
  expect(await client.say('AUTH LOGIN')).toBe('334 VXNlcm5hbWU6');
  expect(await client.say(base64('alice@home.test'))).toBe('334 UGFzc3dvcmQ6');
  expect(await client.say(base64('wrong'))).toBe('535 5.7.8 Authentication credentials invalid');
  expect(await client.say(`AUTH LOGIN ${base64('alice@home.test')}`)).toBe('334 UGFzc3dvcmQ6');
  expect(await client.say(base64('correct horse'))).toMatch(/^235 2\.7\.0/);
});

test.each([
  ['a wrong password', authPlain('alice@home.test', 'wrong'), /^535 5\.7\.8 /],
  ['an unknown name reads the same', authPlain('nobody@home.test'), /^535 5\.7\.8 /],
  ['to act for another', `AUTH PLAIN ${base64('bob@home.test\0alice@home.test\0correct horse')}`, /^535 5\.7\.8 /],
  ['the database down', authPlain('later@home.test'), /^454 4\.7\.0 /],
  ['nonsense', 'AUTH PLAIN AAAA', /^501 5\.5\.4 /],
  ['a mechanism that is not offered', 'AUTH CRAM-MD5', /^504 5\.5\.4 /],
])('AUTH with %s', async (_, command, reply) => {
  using client = await openInTls();
  expect(await client.say(command)).toMatch(reply);
  expect(await client.say('MAIL FROM:<alice@home.test>')).toMatch(/^530 5\.7\.0/);
});

test('passwords are not in the log, names are', async () => {
  using client = await openInTls();
  await client.say(authPlain('alice@home.test', 'mine-alone'));
  await client.say(authPlain());
  const events = bench.log.map((line) => line['event']);
  expect(events).toEqual(['conn.open', 'auth.fail', 'auth.ok']);
  expect(bench.log[1]).toMatchObject({ login: 'alice@home.test', reason: 'wrong-password' });
  expect(JSON.stringify(bench.log)).not.toMatch(/mine-alone|correct horse|bWluZS1hbG9uZ|Y29ycmVjdCBob3JzZ/);
});

test('five wrong passwords close the connection', async () => {
  using client = await openInTls();
  for (let n = 0; n < 5; n++) expect(await client.say(authPlain('alice@home.test', `${n}`))).toMatch(/^535/);
  expect(await client.reply()).toBe('421 4.7.0 Too many errors');
  expect(await client.reply()).toBe('closed');
});

test('who may be the sender, and where mail may go', async () => {
  using client = await openInTls();
  await client.say(authPlain());
  expect(await client.say('MAIL FROM:<bob@home.test>')).toBe('553 5.7.1 You may not send with this sender address');
  expect(await client.say('MAIL FROM:<alice@home.test>')).toMatch(/^250/);
  expect(await client.say('RCPT TO:<someone@elsewhere.test>')).toBe(
    '550 5.7.1 Sending to other domains is not available yet',
  );
  expect(await client.say('RCPT TO:<bob@home.test>')).toMatch(/^250/);
});

test('who was suspended after the login sends nothing more, with <> neither', async () => {
  let isSuspended = false;
  using client = await openInTls({ directory: { maySendAs: async () => !isSuspended } });
  await client.say(authPlain());
  expect(await client.say('MAIL FROM:<>')).toMatch(/^250/);
  await client.say('RSET');
  isSuspended = true;
  expect(await client.say('MAIL FROM:<alice@home.test>')).toMatch(/^553 5\.7\.1/);
  expect(await client.say('MAIL FROM:<>')).toMatch(/^553 5\.7\.1/);
});

test('Date and Message-ID are added, Bcc goes, and Received tells of TLS and AUTH', async () => {
  using client = await openInTls();
  await client.say(authPlain());
  await client.say('MAIL FROM:<alice@home.test>');
  await client.say('RCPT TO:<bob@home.test>');
  expect(await client.data(message)).toMatch(/^250 /);
  const [stored] = await bench.inbox(bench.bob);
  expect(stored).toMatch(/with ESMTPSA \(TLSv1\.3 TLS_\w+\)\r\n/);
  expect(stored).toMatch(
    /\r\nDate: \w{3}, [^\r]+ \+0000\r\nMessage-ID: <[\w.-]+@mx\.home\.test>\r\nFrom: alice@home\.test\r\n\r\nhi\r\n$/,
  );
  expect(stored).not.toMatch(/bcc/i);
});

test('in development mode mail is taken in clear and without AUTH on every port, yet goes nowhere else', async () => {
  using client = await open({ options: { developmentMode: true } });
  expect(await client.say('EHLO client.test')).toContain('250-AUTH PLAIN LOGIN|');
  expect(await client.say('MAIL FROM:<anyone@sender.test>')).toMatch(/^250/);
  expect(await client.say('RCPT TO:<x@elsewhere.test>')).toMatch(/^550 5\.7\.1/);
  expect(await client.say('RCPT TO:<bob@home.test>')).toMatch(/^250/);
  expect(await client.data(message)).toMatch(/^250 /);
  expect(await client.say(authPlain())).toMatch(/^235/);
  await client.say('MAIL FROM:<alice@home.test>');
  expect(await client.say(authPlain())).toMatch(/^503 5\.5\.1/);
});

test('nodemailer sends through STARTTLS and AUTH, many messages over one connection', async () => {
  bench = await openBench({ options: { kind: 'submission' } });
  const transport = nodemailer.createTransport({
    host: '127.0.0.1',
    port: bench.listener.port,
    requireTLS: true,
    pool: true,
    maxConnections: 1,
    tls: { rejectUnauthorized: false },
    auth: { user: 'alice@home.test', pass: 'correct horse' },
  });
  for (let n = 0; n < 5; n++) {
    const sent = await transport.sendMail({
      from: 'alice@home.test',
      to: ['bob@home.test', 'alice@home.test'],
      subject: `number ${n}`,
      text: '.\r\n.two dots\r\n',
      attachments: [{ filename: 'noise', content: Buffer.alloc(100_000, n) }],
    });
    expect(sent.response).toMatch(/^250 2\.0\.0 Stored as /);
  }
  transport.close();
  expect(await bench.inbox(bench.bob)).toHaveLength(5);
  expect(bench.store.blobCount).toBe(5);
});
