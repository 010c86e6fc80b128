import { dkimVerify } from 'mailauth/lib/dkim/verify.js';
import { setTimeout as sleep } from 'node:timers/promises';
import { createTransport, type Transporter } from 'nodemailer';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startEmptyDns, type EmptyDns } from '../harness/empty-dns.ts';
import { ImapLine } from '../harness/imap-line.ts';
import { LineClient } from '../harness/line-client.ts';
import { startMailSink, type MailSink } from '../harness/mail-sink.ts';
import { runProgram } from '../harness/run-program.ts';
import { startService, users, type Service, type User } from '../harness/service.ts';

const { alice, bob } = users;
const carol: User = { address: 'carol@example.test', password: 'a third long secret' };

let sink: MailSink;
let dns: EmptyDns;
let service: Service;
let database: pg.Client;
beforeAll(async () => {
  sink = await startMailSink();
  dns = await startEmptyDns();
  service = await startService({ manifests: manifests(sink.port), env: { DNS_SERVERS: dns.server } });
  database = new pg.Client({ connectionString: service.databaseUrl });
  await database.connect();
});
afterAll(async () => {
  await database.end();
  await service[Symbol.asyncDispose]();
  await sink[Symbol.asyncDispose]();
  await dns[Symbol.asyncDispose]();
});

function manifests(port: number): string {
  return `
apiVersion: postrider.dev/v1alpha1
kind: MailRoute
metadata: {name: out}
spec: {targets: [{type: Smarthost, host: 127.0.0.1, port: ${port}, tls: {mode: Disabled}}]}
---
apiVersion: v1
kind: Secret
metadata: {name: carol-password}
stringData: {password: ${carol.password}}
---
apiVersion: postrider.dev/v1alpha1
kind: Mailbox
metadata: {name: carol}
spec:
  address: ${carol.address}
  password: {mode: SecretRef, secretRef: {name: carol-password}}
  savesSent: true
  limits: {messagesPerHour: 3, recipientsPerMessage: 5}
---
apiVersion: postrider.dev/v1alpha1
kind: MailAlias
metadata: {name: sales}
spec: {address: sales@example.test, members: [${alice.address}, ${bob.address}], sendAs: true}
---
apiVersion: postrider.dev/v1alpha1
kind: MailAlias
metadata: {name: away}
spec: {address: away@example.test, members: [far@elsewhere.test], allowExternalMembers: true}
`;
}

function transportOf(user: User): Transporter {
  return createTransport({
    host: '127.0.0.1',
    port: service.ports.submissionTls,
    secure: true,
    tls: { rejectUnauthorized: false },
    auth: { user: user.address, pass: user.password },
  });
}

async function send(
  user: User,
  to: string | readonly string[],
  raw: string,
  from: string = user.address,
): Promise<string> {
  const transport = transportOf(user);
  try {
    const sent = await transport.sendMail({ envelope: { from, to: [to].flat() }, raw });
    return sent.response ?? '';
  } catch (error) {
    return (error as { response?: string }).response ?? String(error);
  } finally {
    transport.close();
  }
}

const messageOf = (subject: string, from: string = alice.address, more = ''): string =>
  `From: <${from}>\r\nTo: friends@elsewhere.test\r\nSubject: ${subject}\r\n${more}\r\nHello\r\n`;

/** Of a mailbox, in full, once `fits` fits one of them. */
async function stored(user: User, mailbox: string, fits: RegExp): Promise<string> {
  using client = await ImapLine.login(service, user);
  for (const deadline = performance.now() + 20_000; performance.now() < deadline; await sleep(50)) {
    await client.ok(`SELECT ${mailbox}`);
    const all = await client.ok('FETCH 1:* (FLAGS BODY.PEEK[])').catch(() => '');
    const found = all.split(/\r\n(?=\* \d+ FETCH)/).find((each) => fits.test(each));
    if (found !== undefined) return found;
  }
  throw new Error(`no message in ${mailbox} fits ${fits.source}`);
}

async function metrics(): Promise<string> {
  return (await fetch(`http://127.0.0.1:${service.ports.http}/metrics`)).text();
}

async function suppressed(): Promise<readonly string[]> {
  const { rows } = await database.query<{ entry: string }>(
    `select address || ' ' || origin as entry from suppression order by 1`,
  );
  return rows.map(({ entry }) => entry);
}

test('what EHLO offers to those who send', async () => {
  await using client = await LineClient.connect(service.ports.submissionTls, true);
  client.send('EHLO client.test\r\n');
  const lines: string[] = [];
  do lines.push(await client.line(/^250/));
  while (!lines.at(-1)?.startsWith('250 '));
  for (const keyword of ['DSN', 'DELIVERBY', 'MT-PRIORITY', 'REQUIRETLS'])
    expect(lines.join('\n')).toMatch(new RegExp(`^250[- ]${keyword}$`, 'm'));
  expect(lines.join('\n')).toMatch(/^250[- ]FUTURERELEASE 2592000 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/m);
  await using mx = await LineClient.connect(service.ports.smtp);
  await mx.ask('EHLO client.test', /^250 /);
  expect(await mx.ask('MAIL FROM:<a@b.test> RET=FULL', /^\d{3}/)).toMatch(/^555 5\.5\.4/);
});

test('mail goes out signed, with its own return path, and to who is here at once', async () => {
  const blind = 'Bcc: secret@elsewhere.test\r\nReturn-Path: <forged@x.test>\r\n';
  const reply = await send(
    alice,
    ['one@elsewhere.test', 'two@elsewhere.test', bob.address],
    messageOf('signed', alice.address, blind),
  );
  expect(reply).toMatch(/^250 2\.0\.0 Stored as \S+, queued as q\d+$/);
  const sunk = await sink.message(({ content }) => content.includes('Subject: signed'));
  expect(sunk.to).toEqual(['one@elsewhere.test', 'two@elsewhere.test']);
  expect(sunk.from).toMatch(/^bounce\+[a-z0-9-]+@example\.test$/);
  expect(sunk.content).toMatch(/\r\nDate: /);
  expect(sunk.content).toMatch(/\r\nMessage-ID: </);
  expect(sunk.content).toMatch(/\r\nReceived: from \S+ \(\[127\.0\.0\.1\]\)\r\n/);
  expect(sunk.content).not.toMatch(/bcc|secret@|return-path/i);
  const { rows } = await database.query<{ selector: string; algorithm: string; public_key: string }>(
    'select selector, algorithm, public_key from dkim_key',
  );
  const records = new Map(
    rows.map(({ selector, algorithm, public_key: key }) => [
      `${selector}._domainkey.example.test`,
      `v=DKIM1; k=${algorithm === 'rsa2048' ? 'rsa' : 'ed25519'}; p=${key}`,
    ]),
  );
  const { results } = await dkimVerify(Buffer.from(sunk.content, 'latin1'), {
    strict: true,
    resolver: async (name: string) => [[records.get(name) ?? '']],
  });
  expect(results.map(({ status }: { status: { result: string } }) => status.result)).toEqual(['pass', 'pass']);
  expect(service.log()).toContain('_domainkey.example.test. 3600 IN TXT');
  expect(await stored(bob, 'INBOX', /Subject: signed/)).not.toMatch(/Bcc/i);
});

test.each([
  [
    'an address of another',
    messageOf('x', bob.address),
    /^550 5\.7\.1 You may not send as bob@example\.test \(From field\)/,
  ],
  ['an address elsewhere', messageOf('x', 'boss@bank.test'), /^550 5\.7\.1/],
  ['another Sender', messageOf('x', alice.address, `Sender: ${bob.address}\r\n`), /^550 5\.7\.1 .*\(Sender field\)/],
  ['no From', 'Subject: x\r\n\r\nx\r\n', /^550 5\.6\.0 The message has no From field/],
  ['two From fields', `From: ${alice.address}\r\n${messageOf('x')}`, /^550 5\.6\.0/],
] as const)('a message with %s is refused', async (_, raw, reply) => {
  expect(await send(alice, 'one@elsewhere.test', raw)).toMatch(reply);
});

test('an alias whose members may send as it, and a sub-address, are senders too', async () => {
  expect(
    await send(alice, 'one@elsewhere.test', messageOf('as sales', 'sales@example.test'), 'sales@example.test'),
  ).toMatch(/^250/);
  expect(await send(alice, 'one@elsewhere.test', messageOf('as list', 'alice+list@example.test'))).toMatch(/^250/);
  expect(await send(carol, 'one@elsewhere.test', messageOf('no', 'sales@example.test'))).toMatch(/^550 5\.7\.1/);
});

test('limits: recipients a message, recipients an hour; each says what and for how long', async () => {
  const many = Array.from({ length: 6 }, (_, n) => `p${n}@elsewhere.test`);
  expect(await send(carol, many, messageOf('many', carol.address))).toMatch(
    /^554 5\.5\.3 Too many recipients: at most 5 a message/,
  );
  expect(await send(carol, many.slice(0, 2), messageOf('two', carol.address, 'Bcc: p1@elsewhere.test\r\n'))).toMatch(
    /^250/,
  );
  expect(await send(carol, many.slice(0, 2), messageOf('too many', carol.address))).toMatch(
    /^451 4\.7\.1 The limit of recipients an hour of this account is reached, try again in \d+ seconds/,
  );
  expect(await send(carol, alice.address, messageOf('inside', carol.address))).toMatch(/^250/);
  expect(await send(carol, 'p1@elsewhere.test', messageOf('one', carol.address))).toMatch(/^250/);
});

test('a copy of what was sent is in Sent, once, read, with its Bcc', async () => {
  const copy = await stored(carol, 'Sent', /Subject: two\r\n/);
  expect(copy).toMatch(/FLAGS \(\\Seen[ )]/);
  expect(copy).toContain('Bcc: p1@elsewhere.test\r\n');
  using client = await ImapLine.login(service, carol);
  expect(await client.ok('STATUS Sent (MESSAGES)')).toContain('(MESSAGES 3)');
});

test('who writes to itself gets the message and the copy', async () => {
  expect(await send(carol, carol.address, messageOf('to myself', carol.address))).toMatch(/^250/);
  expect(await stored(carol, 'INBOX', /Subject: to myself\r\n/)).toContain('Delivered-To: carol@example.test\r\n');
  expect(await stored(carol, 'Sent', /Subject: to myself\r\n/)).not.toContain('Delivered-To');
});

test('a failure is told to the sender, who is not tried again: the address is suppressed', async () => {
  sink.refusals.set('gone@elsewhere.test', { code: 550, text: '5.1.1 No such user here' });
  expect(await send(alice, 'gone@elsewhere.test', messageOf('to nobody'))).toMatch(/^250/);
  const report = await stored(alice, 'INBOX', /Action: failed/);
  for (const line of [
    'Final-Recipient: rfc822; gone@elsewhere.test',
    'Status: 5.1.1',
    'Subject: to nobody',
    'No such user here',
  ]) {
    expect(report).toContain(line);
  }
  expect(report).toMatch(/Return-Path: <>\r\n/);
  await expect.poll(suppressed, { timeout: 10_000 }).toContain('gone@elsewhere.test bounce');
  expect(await metrics()).toMatch(/^postrider_outbound_bounces_total\{category="no-such-user"\} 1$/m);
  expect(service.log()).toContain('"event":"suppression.added"');
  expect(await send(alice, 'gone@elsewhere.test', messageOf('to nobody again'))).toMatch(/^250/);
  expect(await stored(alice, 'INBOX', /Subject: to nobody again/)).toContain('on the suppression list of example.test');
});

test('a bounce that comes later finds its sender by the return path, and suppresses', async () => {
  expect(await send(alice, 'later@elsewhere.test', messageOf('bounces later'))).toMatch(/^250/);
  const { from } = await sink.message(({ content }) => content.includes('Subject: bounces later'));
  const report = [
    'From: MAILER-DAEMON@elsewhere.test',
    'Subject: Undelivered',
    'Content-Type: multipart/report; report-type=delivery-status; boundary=b',
    '',
    '--b',
    'Content-Type: text/plain',
    '',
    'Sorry.',
    '--b',
    'Content-Type: message/delivery-status',
    '',
    'Reporting-MTA: dns; elsewhere.test',
    '',
    'Final-Recipient: rfc822; later@elsewhere.test',
    'Action: failed',
    'Status: 5.1.1',
    '--b--',
    '',
  ].join('\r\n');
  await using client = await LineClient.connect(service.ports.smtp);
  await client.ask('EHLO elsewhere.test', /^250 /);
  await client.ask('MAIL FROM:<>', /^250/);
  const forged = from.replace(/-.{3}/, '-aaa');
  expect(await client.ask(`RCPT TO:<${forged}>`, /^\d{3}/)).toMatch(/^550 5\.1\.1/);
  expect(await client.ask(`RCPT TO:<${from}>`, /^\d{3}/)).toMatch(/^250/);
  await client.ask('DATA', /^354/);
  expect(await client.ask(`${report}\r\n.`, /^\d{3}/)).toMatch(/^250/);
  expect(await suppressed()).toContain('later@elsewhere.test bounce');
  expect(await metrics()).toMatch(/^postrider_reports_received_total\{kind="failed",matched="yes"\} 1$/m);
  expect(await metrics()).toMatch(/^postrider_suppressions_total\{origin="bounce"\} 2$/m);
  expect(await stored(alice, 'INBOX', /Subject: Undelivered/)).toContain('later@elsewhere.test');
});

test('success is told where it was asked for, and nothing to who asked for nothing (RFC 3461)', async () => {
  const transport = transportOf(alice);
  await transport.sendMail({
    envelope: { from: alice.address, to: ['quiet@elsewhere.test'] },
    raw: messageOf('with receipt'),
    dsn: { id: 'RECEIPT-1', return: 'headers', notify: ['success'], recipient: 'quiet@elsewhere.test' },
  });
  transport.close();
  const report = await stored(alice, 'INBOX', /Original-Envelope-Id: RECEIPT-1/);
  expect(report).toContain('Action: relayed');
  expect(report).toContain('Original-Recipient: rfc822; quiet@elsewhere.test');
});

test('of addresses here it is told that they got it', async () => {
  const transport = transportOf(alice);
  await transport.sendMail({
    envelope: { from: alice.address, to: [bob.address] },
    raw: messageOf('with receipt of bob'),
    dsn: { id: 'RECEIPT-2', return: 'headers', notify: ['success'], recipient: bob.address },
  });
  transport.close();
  const report = await stored(alice, 'INBOX', /Original-Envelope-Id: RECEIPT-2/);
  expect(report).toContain(`Final-Recipient: rfc822; ${bob.address}\r\nAction: delivered\r\nStatus: 2.0.0\r\n`);
});

test('a message for later waits, and for nobody here (RFC 4865)', async () => {
  await using client = await LineClient.connect(service.ports.submissionTls, true);
  await client.ask('EHLO client.test', /^250 /);
  await client.ask(`AUTH PLAIN ${Buffer.from(`\0${alice.address}\0${alice.password}`).toString('base64')}`, /^235/);
  expect(await client.ask(`MAIL FROM:<${alice.address}> HOLDFOR=99999999`, /^\d{3}/)).toMatch(
    /^501 5\.5\.4 A message can be held/,
  );
  expect(await client.ask(`MAIL FROM:<${alice.address}> MT-PRIORITY=12`, /^\d{3}/)).toMatch(
    /^501 5\.5\.4 The value of MT-PRIORITY/,
  );
  await client.ask(`MAIL FROM:<${alice.address}> HOLDFOR=3600 MT-PRIORITY=3 BY=7200;R`, /^250/);
  expect(await client.ask(`RCPT TO:<${bob.address}>`, /^\d{3}/)).toMatch(/^550 5\.7\.1/);
  await client.ask('RCPT TO:<tomorrow@elsewhere.test> NOTIFY=NEVER', /^250/);
  await client.ask('DATA', /^354/);
  expect(await client.ask(`${messageOf('for later')}.`, /^\d{3}/)).toMatch(/^250/);
  const { rows } = await database.query(
    `select priority, deliver_by_mode, notify, extract(epoch from due_at - accepted_at)::int > 3500 as waits
      from outbound_message m join outbound_recipient r on r.message_id = m.id where r.address = 'tomorrow@elsewhere.test'`,
  );
  expect(rows).toEqual([{ priority: 3, deliver_by_mode: 'return', notify: 'never', waits: true }]);
});

test('what an alias sends on is sealed (RFC 8617)', async () => {
  await service.deliver('away@example.test', 'From: x@outside.test\r\nSubject: sent on\r\n\r\nhi\r\n');
  const { from, to, content } = await sink.message((message) => message.content.includes('Subject: sent on'));
  expect([from, to]).toEqual(['sender@outside.test', ['far@elsewhere.test']]);
  expect(content).toMatch(/^ARC-Seal: i=1; a=rsa-sha256; [^]*?d=example\.test;/);
  expect(content).toMatch(/\r\nARC-Authentication-Results: i=1; /);
  expect(content).toMatch(/\r\nReceived: from /);
});

test('postrider dkim tells what to publish', async () => {
  const { code, stdout } = await runProgram(process.execPath, ['cli/postrider.ts', 'dkim', 'example.test'], {
    env: { DATABASE_URL: service.databaseUrl, DATA_DIR: service.dataDirectory, MANIFESTS_DIR: '' },
  });
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /^; example\.test: ed25519, active\ne\d{8}\._domainkey\.example\.test\. 3600 IN TXT "v=DKIM1; k=ed25519; p=[A-Za-z0-9+/]{43}="\n/,
  );
  expect(stdout).toContain('; example.test: rsa2048, active\n');
});

test('postrider suppression: list, add, remove', async () => {
  const run = (...args: readonly string[]) =>
    runProgram(process.execPath, ['cli/postrider.ts', 'suppression', ...args], {
      env: { DATABASE_URL: service.databaseUrl, DATA_DIR: service.dataDirectory, MANIFESTS_DIR: '' },
    });
  expect(await run('add', 'example.test', 'Asked@elsewhere.test', '--reason', 'wants no mail')).toMatchObject({
    code: 0,
  });
  const { stdout } = await run('list', 'example.test');
  expect(stdout).toMatch(
    /^example\.test\s+asked@elsewhere\.test\s+manual\s+\d{4}-\d\d-\d\d until removed\s+wants no mail$/m,
  );
  expect(JSON.parse((await run('list', 'example.test', '--json')).stdout.split('\n')[0] ?? '')).toMatchObject({
    address: 'asked@elsewhere.test',
  });
  expect(await run('remove', 'example.test', 'asked@elsewhere.test')).toMatchObject({ code: 0 });
  expect((await run('remove', 'example.test', 'asked@elsewhere.test')).code).toBe(78);
  expect((await run('add', 'example.test', 'nonsense')).code).toBe(64);
});
