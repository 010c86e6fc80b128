import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import type { MailStore } from '#server/mail/ports.ts';
import { authPlain, openBench, type Bench, type BenchOverrides, type SmtpClient } from './smtp-bench.ts';

let bench: Bench;
afterEach(() => bench[Symbol.asyncDispose]());

async function open(overrides: BenchOverrides = {}): Promise<SmtpClient> {
  bench = await openBench(overrides);
  return bench.dial();
}

const message = 'From: ann@sender.test\r\nSubject: hello\r\n\r\nGood morning\r\n';

test('a message is stored before 250, behind Return-Path, Delivered-To and Received', async () => {
  using client = await open();
  await client.begin('alice@home.test');
  expect(await client.data(message)).toMatch(/^250 2\.0\.0 Stored as [\w-]{12}$/);
  const [stored] = await bench.inbox(bench.alice);
  expect(stored).toMatch(
    /^Return-Path: <ann@sender\.test>\r\nDelivered-To: alice@home\.test\r\nReceived: from client\.test \(\[127\.0\.0\.1\]\)\r\n\tby mx\.home\.test with ESMTP\r\n\tid [\w-]{12}\r\n\tfor <alice@home\.test>;\r\n\t\w{3}, \d\d \w{3} \d{4} [\d:]{8} \+0000\r\nFrom: /,
  );
  expect(stored?.endsWith(message)).toBe(true);
  expect(await client.say('QUIT')).toBe('221 2.0.0 Bye');
  expect(await client.reply()).toBe('closed');
});

test('EHLO on port 25: what is offered, and no AUTH', async () => {
  using client = await open();
  expect(await client.reply()).toBe('220 mx.home.test ESMTP Postrider');
  expect((await client.say('EHLO client.test')).split('|')).toEqual([
    '250-mx.home.test',
    '250-PIPELINING',
    '250-8BITMIME',
    '250-SMTPUTF8',
    '250-ENHANCEDSTATUSCODES',
    '250-STARTTLS',
    `250 SIZE ${50 * 1024 * 1024}`,
  ]);
  expect(await client.say('AUTH PLAIN AAAA')).toMatch(/^500 5\.5\.2 /);
});

test.each([
  ['nobody@home.test', '550 5.1.1 No such address here'],
  ['full@home.test', '452 4.2.2 Mailbox is full'],
  ['gone@home.test', '550 5.2.1 Mailbox does not accept mail'],
  ['later@home.test', '451 4.3.0 Mail system is not available now, try again later'],
  ['broken@home.test', '451 4.3.0 Local error, try again later'],
  ['someone@elsewhere.test', '550 5.7.1 Relaying denied: this server takes mail for its own domains'],
])('RCPT TO:<%s> is %s, and the session goes on', async (address, reply) => {
  using client = await open();
  await client.begin('bob@home.test');
  expect(await client.say(`RCPT TO:<${address}>`)).toBe(reply);
  expect(await client.data(message)).toMatch(/^250 /);
  expect(await bench.inbox(bench.bob)).toHaveLength(1);
});

test('a bug is in the log with its stack, and not in the reply', async () => {
  using client = await open();
  await client.begin();
  await client.say('RCPT TO:<broken@home.test>');
  expect(bench.log).toContainEqual(
    expect.objectContaining({ event: 'smtp.bug', err: expect.objectContaining({ message: 'a bug' }) }),
  );
});

test('three recipients are one blob; an account that two addresses lead to has one message', async () => {
  using client = await open();
  await client.begin('alice@home.test', 'alice+news@home.test', 'team@home.test');
  expect(await client.data(message)).toMatch(/^250 /);
  const [alice, bob] = [await bench.inbox(bench.alice), await bench.inbox(bench.bob)];
  expect([alice.length, bob.length, bench.store.blobCount]).toEqual([1, 1, 1]);
  expect(bob[0]).toContain('Delivered-To: bob@home.test\r\n');
  expect(alice[0]).not.toContain('for <');
});

test('bounces: the sender may be empty', async () => {
  using client = await open();
  await client.begin();
  await client.say('RSET');
  expect(await client.say('MAIL FROM:<>')).toMatch(/^250 2\.1\.0/);
  expect(await client.say('RCPT TO:<alice@home.test>')).toMatch(/^250 2\.1\.5/);
  expect(await client.data(message)).toMatch(/^250 /);
  expect((await bench.inbox(bench.alice))[0]).toMatch(/^Return-Path: <>\r\n/);
});

test('<postmaster> goes to the directory’s where the configured address is not here', async () => {
  using client = await open({
    options: { postmaster: 'postmaster@mx.elsewhere.test' },
    directory: { findPostmaster: async () => 'bob@home.test' },
  });
  await client.begin('POSTMASTER');
  expect(await client.data(message)).toMatch(/^250 /);
  expect(await bench.inbox(bench.bob)).toHaveLength(1);
});

test('where nobody is postmaster it is 550, and the log tells what to do', async () => {
  using client = await open({ options: { postmaster: 'gone@home.test' } });
  await client.begin();
  expect(await client.say('RCPT TO:<postmaster>')).toBe('550 5.1.1 No such address here');
  expect(bench.log).toContainEqual(expect.objectContaining({ event: 'smtp.no-postmaster', level: 'warn' }));
});

test('<postmaster> needs no domain (RFC 5321 section 4.1.1.3)', async () => {
  using client = await open();
  await client.begin('Postmaster');
  expect(await client.data(message)).toMatch(/^250 /);
  expect(await bench.inbox(bench.alice)).toHaveLength(1);
});

test('several messages in one session, and RSET and EHLO forget a transaction', async () => {
  using client = await open();
  await client.begin('alice@home.test');
  expect(await client.data(message)).toMatch(/^250 /);
  await client.envelope('bob@home.test');
  expect(await client.say('RSET')).toMatch(/^250 2\.0\.0/);
  expect(await client.say('RCPT TO:<bob@home.test>')).toMatch(/^503 5\.5\.1/);
  await client.envelope('bob@home.test');
  expect(await client.say('EHLO again.test')).toMatch(/^250/);
  expect(await client.say('DATA')).toMatch(/^503 5\.5\.1/);
  await client.envelope('alice@home.test');
  expect(await client.data(message)).toMatch(/^250 /);
  expect([(await bench.inbox(bench.alice)).length, (await bench.inbox(bench.bob)).length]).toEqual([2, 0]);
});

test('commands out of order (RFC 5321 section 4.1.4) and beside the protocol', async () => {
  using client = await open();
  await client.reply();
  expect(await client.say('MAIL FROM:<a@b.test>')).toMatch(/^503 5\.5\.1/);
  expect(await client.say('HELO client.test')).toBe('250 mx.home.test');
  expect(await client.say('RCPT TO:<bob@home.test>')).toMatch(/^503 5\.5\.1/);
  expect(await client.say('DATA')).toMatch(/^503 5\.5\.1/);
  expect(await client.say('VRFY bob')).toBe('252 2.0.0 Not verified; try to send to it');
  expect(await client.say('NOOP')).toMatch(/^250 2\.0\.0/);
  expect(await client.say('EXPN list')).toMatch(/^500 5\.5\.2/);
  expect(await client.say('WIZ')).toMatch(/^500 5\.5\.2/);
  expect(await client.say('XCLIENT ADDR=192.0.2.1')).toMatch(/^500 5\.5\.2/);
});

test.each([
  ['MAIL FROM:<a b@c.test>', /^501 5\.1\.7/],
  ['MAIL FROM:a@c.test', /^501 5\.1\.7/],
  ['MAIL FROM:<a@c.test> BODY=BINARYMIME', /^501 5\.5\.4/],
  ['MAIL FROM:<a@c.test> RET=FULL', /^555 5\.5\.4/],
  ['MAIL FROM:<a@c.test> NONSENSE', /^555 5\.5\.4/],
  ['MAIL FROM:<a@c.test> SIZE=many', /^501 5\.5\.4/],
  ['MAIL FROM:<jörg@c.test>', /^553 5\.6\.7/],
  ['MAIL FROM:<jörg@c.test> SMTPUTF8', /^250 2\.1\.0/],
  ['MAIL FROM:<a@c.test> BODY=8BITMIME SIZE=100 AUTH=<>', /^250 2\.1\.0/],
])('%s', async (command, reply) => {
  using client = await open();
  await client.reply();
  await client.say('EHLO client.test');
  expect(await client.say(command)).toMatch(reply);
});

test('RCPT with parameters of DSN, which is not offered, is 555', async () => {
  using client = await open();
  await client.begin();
  expect(await client.say('RCPT TO:<bob@home.test> NOTIFY=NEVER')).toMatch(/^555 5\.5\.4/);
});

test('SMTPUTF8 recipients, and the protocol in Received (RFC 6531 section 4.3)', async () => {
  using client = await open();
  await client.reply();
  await client.say('EHLO client.test');
  await client.say('MAIL FROM:<ann@sender.test> SMTPUTF8');
  expect(await client.say('RCPT TO:<jörg@home.test>')).toMatch(/^250 /);
  expect(await client.data(message)).toMatch(/^250 /);
  const [stored] = await bench.inbox(bench.bob);
  expect(stored).toContain('with UTF8SMTP\r\n');
  expect(Buffer.from(stored ?? '', 'latin1').toString()).toContain('for <jörg@home.test>;');
});

test('SIZE: too much is refused at MAIL, before DATA; what a mailbox has no room for at RCPT', async () => {
  using client = await open({ options: { maxMessageBytes: 5000 } });
  await client.reply();
  expect(await client.say('EHLO client.test')).toContain('250 SIZE 5000');
  expect(await client.say('MAIL FROM:<a@b.test> SIZE=5001')).toMatch(/^552 5\.3\.4/);
  expect(await client.say('MAIL FROM:<a@b.test> SIZE=2000')).toMatch(/^250/);
  expect(await client.say('RCPT TO:<small@home.test>')).toMatch(/^452 4\.2\.2/);
});

test('a message that turns out too big is 552 at its end; exactly the limit is taken; the session goes on', async () => {
  using client = await open({ options: { maxMessageBytes: 5000 } });
  await client.begin('alice@home.test');
  expect(await client.data(`${'x'.repeat(4999)}\r\n`)).toBe('552 5.3.4 Message is larger than 5000 bytes');
  await client.envelope('alice@home.test');
  expect(await client.data(`${'x'.repeat(4998)}\r\n`)).toMatch(/^250 /);
  expect(await bench.inbox(bench.alice)).toHaveLength(1);
});

test('a large message goes through a file and comes out the same', async () => {
  using client = await open();
  await client.begin('alice@home.test');
  const large = `Subject: large\r\n\r\n${`${'.'.repeat(70)}\r\n`.repeat(60_000)}`;
  expect(await client.data(large.replaceAll('\r\n.', '\r\n..'))).toMatch(/^250 /);
  const [stored] = await bench.inbox(bench.alice);
  expect(stored?.endsWith(large)).toBe(true);
  expect(bench.spools.memoryUsed).toBe(0);
});

test('101 Received fields are a loop', async () => {
  using client = await open();
  await client.begin('alice@home.test');
  const received = 'Received: from a by b; Sat, 21 Nov 2026 10:40:49 +0000\r\n';
  expect(await client.data(received.repeat(100) + message)).toMatch(/^250 /);
  await client.envelope('alice@home.test');
  expect(await client.data(received.repeat(101) + message)).toBe('554 5.4.6 Too many hops: mail loop');
});

test('too many recipients is 452 4.5.3 for those beyond, and the others get the mail', async () => {
  using client = await open({ options: { maxRecipients: 2 } });
  await client.begin('alice@home.test', 'bob@home.test');
  expect(await client.say('RCPT TO:<alice+news@home.test>')).toMatch(/^452 4\.5\.3/);
  expect(await client.data(message)).toMatch(/^250 /);
});

test('accounts that several aliases lead to count once', async () => {
  using client = await open({ options: { maxRecipients: 2 } });
  await client.begin('team@home.test', 'alice@home.test');
  expect(await client.data(message)).toMatch(/^250 /);
  await client.envelope('team@home.test', 'team@home.test');
  expect(await client.data(message)).toMatch(/^250 /);
  expect(await bench.inbox(bench.alice)).toHaveLength(2);
});

test('pipelined commands, and the next transaction right behind the message (RFC 2920)', async () => {
  using client = await open();
  await client.reply();
  await client.say('EHLO client.test');
  const envelope = 'MAIL FROM:<a@b.test>\r\nRCPT TO:<alice@home.test>\r\nRCPT TO:<nobody@home.test>\r\nDATA\r\n';
  client.write(envelope + message + '.\r\n' + envelope + message + '.\r\nQUIT\r\n');
  const codes: string[] = [];
  for (let n = 0; n < 11; n++) codes.push((await client.reply()).slice(0, 3));
  expect(codes).toEqual(['250', '250', '550', '354', '250', '250', '250', '550', '354', '250', '221']);
  expect(await bench.inbox(bench.alice)).toHaveLength(2);
});

test('the replies to commands that came together go together (RFC 2920 section 3.2)', async () => {
  using client = await open();
  await client.reply();
  await client.say('EHLO client.test');
  const bursts: string[] = [];
  client.socket.on('data', (chunk: Buffer) => bursts.push(chunk.toString().replaceAll(/^(\d{3}).*\r\n/gm, '$1 ')));
  client.write('MAIL FROM:<a@b.test>\r\nRCPT TO:<alice@home.test>\r\nRCPT TO:<nobody@home.test>\r\nDATA\r\n');
  await expect.poll(() => bursts).toEqual(['250 250 550 354 ']);
  client.write(`${message}.\r\nMAIL FROM:<a@b.test>\r\nRSET\r\n`);
  await expect.poll(() => bursts).toEqual(['250 250 550 354 ', '250 250 250 ']);
});

test('a client that sends more commands than it reads replies is waited for, and gets all of them', async () => {
  using client = await open();
  await client.reply();
  client.write('NOOP\r\n'.repeat(2900) + 'QUIT\r\n');
  for (let n = 0; n < 2900; n++) expect(await client.reply()).toMatch(/^250/);
  expect(await client.reply()).toMatch(/^221/);
});

test('a client that ends its side right behind its message still hears that it is stored', async () => {
  // Longer than it takes to hear of the end.
  const late = (store: Bench['store']): MailStore =>
    new Proxy<MailStore>(store, {
      get: (target, name: keyof MailStore) =>
        name !== 'deliver'
          ? (target[name] as unknown)
          : async (...of: Parameters<MailStore['deliver']>) => {
              await sleep(200);
              return target.deliver(...of);
            },
    });
  using client = await open({ store: late });
  await client.begin('alice@home.test');
  await client.say('DATA');
  client.socket.end(`${message}.\r\n`);
  expect(await client.reply()).toMatch(/^250 /);
  expect(await client.reply()).toBe('closed');
  await expect.poll(() => bench.listener.connections).toBe(0);
});

test('one that ends its side in the middle of it does not, and nothing is stored', async () => {
  using client = await open();
  await client.begin('alice@home.test');
  await client.say('DATA');
  client.socket.end(message);
  expect(await client.reply()).toBe('closed');
  await expect.poll(() => bench.log.map((line) => line['event'])).toContain('msg.cut');
  expect(await bench.inbox(bench.alice)).toHaveLength(0);
});

test('a message that is cut off is not stored, and its spool is freed', async () => {
  using client = await open();
  await client.begin('alice@home.test');
  await client.say('DATA');
  client.write(`${message}almost\r\n.\r`);
  await expect.poll(() => bench.spools.memoryUsed).toBeGreaterThan(0);
  client.socket.destroy();
  await expect.poll(() => bench.spools.memoryUsed).toBe(0);
  await expect.poll(() => bench.log.map((line) => line['event'])).toContain('msg.cut');
  expect(await bench.inbox(bench.alice)).toHaveLength(0);
});

test('a sender of one byte at a time gets its message through', async () => {
  using client = await open();
  await client.begin('alice@home.test');
  await client.say('DATA');
  for (const byte of Buffer.from(`${message}..\r\n.\r\n`)) {
    client.write(Buffer.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(await client.reply()).toMatch(/^250 /);
  expect((await bench.inbox(bench.alice))[0]?.endsWith(`${message}.\r\n`)).toBe(true);
});

test('one id joins the log lines of a message, the reply and Received', async () => {
  using client = await open();
  await client.begin('alice@home.test');
  const id = (await client.data(message)).split(' ').at(-1);
  await client.say('QUIT');
  await expect.poll(() => bench.log.at(-1)?.['event']).toBe('conn.close');
  const lines = bench.log.filter((line) => line['message'] === id);
  expect(lines.map((line) => line['event'])).toEqual(['msg.received', 'msg.stored']);
  expect((await bench.inbox(bench.alice))[0]).toContain(`id ${id}`);
  const connections = new Set(bench.log.map((line) => line['connection']));
  expect(connections.size).toBe(1);
  expect(bench.log[0]).toMatchObject({ event: 'conn.open', listener: 'mx', remoteAddress: '127.0.0.1' });
});

test('with the option, CRLF is made of lone CRs and LFs, NULs go, and the message is stored', async () => {
  using client = await open({ options: { normaliseLineEndings: true } });
  await client.begin('alice@home.test');
  expect(await client.data('Subject: s\n\na\rb\0c\r\n')).toMatch(/^250 /);
  expect((await bench.inbox(bench.alice))[0]).toMatch(/\r\nSubject: s\r\n\r\na\r\nbc\r\n$/);
});

test('no AUTH where it is not offered, whatever the client sends', async () => {
  using client = await open();
  await client.begin();
  expect(await client.say(authPlain())).toMatch(/^500 /);
});
