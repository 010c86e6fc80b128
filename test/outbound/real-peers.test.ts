/** The transport against mail servers of others: Postfix, its smtp-sink with what it can do wrong, Dovecot's LMTP, our own. */
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createHash, createHmac, createPublicKey, generateKeyPairSync } from 'node:crypto';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { dkimVerify } from 'mailauth/lib/dkim/verify.js';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '#shared/base/clock.ts';
import type { Route } from '#server/mail/outbound-routes.ts';
import { createSigner } from '#server/signing/dkim-signer.ts';
import { createSevenBitMessages } from '#server/signing/seven-bit-messages.ts';
import type { SigningKey } from '#server/signing/signing-keys.ts';
import { Child, isListening } from '../bench/servers/child.ts';
import { writeCertificate } from '../bench/servers/certificate.ts';
import { domain as benchDomain, users } from '../bench/servers/mail-server.ts';
import { Postfix } from '../bench/servers/postfix.ts';
import {
  attemptOf,
  only,
  outboundMessage,
  outboundRecipient,
  plainMessage,
  routeOf,
  smtpTarget,
  testTransport,
  told,
} from '../harness/outbound.ts';
import { spooled } from '../harness/message.ts';
import { freePorts } from '../harness/ports.ts';
import { lacks } from '../harness/programs.ts';
import { runProgram } from '../harness/run-program.ts';
import { startService, users as serviceUsers } from '../harness/service.ts';
import { ScriptedPeer } from '../harness/scripted-peer.ts';

let folder = '';
const opened: AsyncDisposable[] = [];
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'postrider-peers-'));
  // The servers run as users of their own.
  await chmod(folder, 0o755);
});
afterEach(async () => {
  for (const one of opened.splice(0).toReversed()) await one[Symbol.asyncDispose]();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A spool that holds what it is given. */
function memorySpool() {
  const chunks: Buffer[] = [];
  return {
    write: (chunk: Buffer) => {
      chunks.push(chunk);
      return null;
    },
    finish: () => spooled(Buffer.concat(chunks)),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** The body as another program understands it. */
async function decodedByPython(message: string): Promise<string> {
  const file = path.join(folder, 'converted');
  await writeFile(file, message, 'latin1');
  const program =
    'import sys, email; sys.stdout.buffer.write(email.message_from_binary_file(open(sys.argv[1], "rb")).get_payload(decode=True))';
  const { stdout } = await runProgram('python3', ['-c', program, file]);
  return Buffer.from(stdout, 'latin1').toString().replaceAll(/\r?\n/g, '\r\n');
}

async function sendOver(target: Route['targets'][number], to: readonly string[], message = outboundMessage()) {
  return testTransport([routeOf('r', [target])]).send(attemptOf(message, to), 'r');
}

describe.skipIf(lacks('/usr/sbin/smtp-sink'))('smtp-sink', () => {
  async function sink(...args: readonly string[]): Promise<number> {
    const [port] = (await freePorts(1)) as [number];
    const logFile = path.join(folder, `sink-${port}.log`);
    const child = new Child({
      file: '/usr/sbin/smtp-sink',
      args: ['-u', 'nobody', ...args, `127.0.0.1:${port}`, '100'],
      logFile,
    });
    opened.push({ [Symbol.asyncDispose]: () => child.stop() });
    await child.ready(() => isListening(port));
    return port;
  }

  test.each([
    ['takes it', [], 'delivered 250 2.0.0 Ok'],
    ['without PIPELINING', ['-p'], 'delivered 250 2.0.0 Ok'],
    ['without ESMTP', ['-e'], 'delivered 250 2.0.0 Ok'],
    ['refuses MAIL for good', ['-f', 'MAIL'], 'never 500 5.3.0 Error: command failed'],
    ['refuses RCPT for good', ['-f', 'RCPT'], 'never 500 5.3.0 Error: command failed'],
    ['refuses DATA for good', ['-f', 'DATA'], 'never 500 5.3.0 Error: command failed'],
    ['refuses the message for good', ['-f', '.'], 'never 500 5.3.0 Error: command failed'],
    ['refuses RCPT for now', ['-r', 'RCPT'], 'later 450 4.3.0 Error: command failed'],
    ['refuses the message for now', ['-r', '.'], 'later 450 4.3.0 Error: command failed'],
    ['refuses the connection for now', ['-r', 'CONNECT'], /^later 4/],
    ['hangs up at MAIL', ['-q', 'MAIL'], /^later 4\.4\.2 the (connection was lost|peer closed)/],
    ['hangs up at the message', ['-q', '.'], /^later 4\.4\.2 the (connection was lost|peer closed)/],
    ['says 421 at RCPT and hangs up', ['-Q', 'RCPT'], /^later (4\.4\.2 the peer closes: )?421 /],
  ] as const)('%s', async (_, args, words) => {
    const port = await sink(...args);
    const outcome = only(await sendOver(smtpTarget(port), ['b@d.test']));
    if (typeof words === 'string') expect(told(outcome)).toBe(words);
    else expect(told(outcome)).toMatch(words);
    expect(outcome.facts.isUncertain).toBe(args[0] === '-q' && args[1] === '.');
  });

  test('1000 messages over one lane, each of them once', async () => {
    const dump = path.join(folder, 'dump');
    await mkdir(dump, { mode: 0o777 });
    await chown(dump, 65_534, 65_534);
    const port = await sink('-d', `${dump}/%M.`);
    const transport = testTransport([routeOf('r', [smtpTarget(port)])]);
    await using lane = transport.openLane({ route: 'r', domain: null });
    for (let i = 0; i < 1000; i++) {
      const message = outboundMessage({ text: `Subject: number-${i}-\r\n\r\n.\r\nx\r\n` });
      expect(told(only(await lane.attempt(attemptOf(message, ['b@d.test']))))).toBe('delivered 250 2.0.0 Ok');
    }
    const names = await readdir(dump);
    const texts = await Promise.all(names.map((name) => readFile(path.join(dump, name), 'latin1')));
    const numbers = texts.flatMap((text) => [...text.matchAll(/number-(\d+)-/g)].map((match) => Number(match[1])));
    expect(numbers.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
  }, 60_000);
});

describe.skipIf(lacks('/usr/sbin/postfix'))('Postfix', () => {
  let postfix: Postfix;
  beforeAll(async () => {
    const home = path.join(folder, 'postfix');
    await mkdir(home);
    postfix = await Postfix.start(home, await writeCertificate(home));
  }, 60_000);
  afterAll(async () => postfix?.[Symbol.asyncDispose]());

  test('takes what it has a mailbox for, names what it has not, and gets every byte', async () => {
    const [user = ''] = users;
    await postfix.mark();
    const text = `From: <a@here.test>\r\nTo: <${user}@${benchDomain}>\r\nSubject: x\r\n\r\n.\r\n..two\r\nümlaut\r\n${'y'.repeat(900)}\r\n.`;
    const message = outboundMessage({ text, body: '8bitmime', envid: 'e+1', ret: 'headers' });
    const known = outboundRecipient(`${user}@${benchDomain}`, { notify: ['failure'], orcpt: 'rfc822;old@d.test' });
    const unknown = outboundRecipient('nobody@elsewhere.example', { notify: 'never' });
    const transport = testTransport([routeOf('r', [smtpTarget(postfix.smtpPort)])]);
    const result = await transport.send(
      attemptOf(message, [known, unknown, outboundRecipient(`gone@${benchDomain}`)]),
      'r',
    );
    expect(result.outcomes.map(({ kind }) => kind)).toEqual(['delivered', 'delivered', 'never']);
    expect(result.outcomes[0]).toMatchObject({
      isNotifyPassedOn: true,
      facts: { reply: { code: 250, status: '2.0.0' } },
    });
    expect(told(result.outcomes[2] ?? only(result))).toMatch(/^never 550 5\.1\.1 .*User unknown/);
    await postfix.settled(1);
    const mail = path.join(folder, 'postfix', 'mail', user, 'new');
    const [name = ''] = await readdir(mail);
    const stored = await readFile(path.join(mail, name), 'utf8');
    expect(stored.slice(stored.indexOf('\n\n') + 2)).toBe(`.\n..two\nümlaut\n${'y'.repeat(900)}\n.\n`);
  }, 60_000);
});

describe.skipIf(lacks('/usr/sbin/postfix', 'python3'))('Postfix without 8BITMIME', () => {
  let postfix: Postfix;
  beforeAll(async () => {
    const home = path.join(folder, 'postfix-7bit');
    await mkdir(home);
    postfix = await Postfix.start(home, await writeCertificate(home), 'smtpd_discard_ehlo_keywords = 8bitmime\n');
  }, 60_000);
  afterAll(async () => postfix?.[Symbol.asyncDispose]());

  const [user = ''] = users;
  const to = `${user}@${benchDomain}`;
  const key: SigningKey = {
    algorithm: 'rsa2048',
    selector: 'r1',
    key: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
  };
  const signer = createSigner({ of: () => Promise.resolve([key]) }, systemClock);
  const sevenBit = createSevenBitMessages({ signer, createSpool: memorySpool });

  async function send(text: string) {
    await using message = await spooled(Buffer.from(text));
    const signatures = await signer.sign(message, 'here.test');
    const prefix = `${signatures.toString('latin1')}Received: from x by y; Mon, 1 Jan 2024 00:00:00 +0000\r\n`;
    const transport = testTransport([routeOf('r', [smtpTarget(postfix.smtpPort)])], { sevenBit });
    return transport.send(attemptOf(outboundMessage({ text, prefix, body: '8bitmime' }), [to]), 'r');
  }

  test('gets it in ASCII, with a signature that is right and the same words', async () => {
    await postfix.mark();
    const body = `Grüße, ${'und noch viele Worte mehr '.repeat(50)}\r\n.\r\n`;
    // Date and Message-ID are signed as missing, and Postfix adds what is missing to mail of its own machine.
    const head = `From: <a@here.test>\r\nTo: <${to}>\r\nSubject: x\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <1@here.test>\r\nMIME-Version: 1.0\r\n`;
    const sent = only(
      await send(`${head}Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n${body}`),
    );
    expect(sent.kind).toBe('delivered');
    await postfix.settled(1);
    const mail = path.join(folder, 'postfix-7bit', 'mail', user, 'new');
    const [name = ''] = await readdir(mail);
    const stored = (await readFile(path.join(mail, name), 'latin1')).replaceAll('\n', '\r\n');
    expect(stored).toMatch(/^[\x00-\x7f]*$/);
    expect(stored).toContain('Content-Transfer-Encoding: quoted-printable');
    expect(await decodedByPython(stored)).toBe(body);
    const der = createPublicKey(key.key).export({ format: 'der', type: 'spki' });
    const { results } = await dkimVerify(Buffer.from(stored, 'latin1'), {
      strict: true,
      resolver: () => Promise.resolve([[`v=DKIM1; k=rsa; p=${der.toString('base64')}`]]),
    });
    expect(results.map(({ status }: { status: { result: string } }) => status.result)).toEqual(['pass']);
  }, 60_000);

  test('does not get what somebody else signed', async () => {
    const outcome = only(await send('DKIM-Signature: v=1; d=other.test\r\nFrom: <a@here.test>\r\n\r\nGrüße\r\n'));
    expect(told(outcome)).toBe('never 5.6.3 the message has 8-bit text, and the peer does not offer 8BITMIME');
  });
});

describe.skipIf(lacks('/usr/lib/dovecot/lmtp'))('Dovecot’s LMTP', () => {
  test('over a socket: each recipient has an answer of its own', async () => {
    const home = path.join(folder, 'dovecot');
    for (const name of ['', 'mail', 'run']) await mkdir(path.join(home, name), { recursive: true, mode: 0o777 });
    for (const name of ['', 'mail']) await chown(path.join(home, name), 65_534, 65_534);
    await writeFile(path.join(home, 'users'), `bob:{PLAIN}x:65534:65534::${home}/mail::\n`);
    await writeFile(
      path.join(home, 'dovecot.conf'),
      `base_dir = ${home}/run
log_path = ${home}/log
protocols = lmtp
ssl = no
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:${home}/mail/%n
default_internal_user = dovecot
default_login_user = dovenull
auth_username_format = %n
passdb {
  driver = passwd-file
  args = ${home}/users
}
userdb {
  driver = passwd-file
  args = ${home}/users
}
service lmtp {
  unix_listener ${home}/lmtp {
    mode = 0666
  }
}
`,
    );
    const child = new Child({
      file: '/usr/sbin/dovecot',
      args: ['-F', '-c', path.join(home, 'dovecot.conf')],
      logFile: path.join(home, 'out'),
    });
    opened.push({ [Symbol.asyncDispose]: () => child.stop() });
    const socket = path.join(home, 'lmtp');
    await child.ready(
      () =>
        new Promise((resolve) => {
          const probe = net.connect(socket);
          probe.once('connect', () => resolve(true)).once('error', () => resolve(false));
          probe.once('connect', () => probe.destroy());
        }),
    );
    const target = smtpTarget(0, { kind: 'lmtp', host: socket, tls: 'opportunistic' });
    const result = await sendOver(target, ['bob@d.test', 'gone@d.test']);
    expect(result.outcomes.map(told)).toEqual([
      expect.stringMatching(/^delivered 250 2\.0\.0 <bob@d\.test> .*Saved/),
      expect.stringMatching(/^never 550 5\.1\.1 <gone@d\.test> User doesn't exist/),
    ]);
    const [name = ''] = await readdir(path.join(home, 'mail', 'bob', 'new'));
    const stored = await readFile(path.join(home, 'mail', 'bob', 'new', name), 'latin1');
    expect(stored.replaceAll('\r\n', '\n').endsWith(plainMessage.replaceAll('\r\n', '\n'))).toBe(true);
  }, 60_000);
});

describe('our own server', () => {
  test('takes what the transport sends it, over TLS, and names whom it does not know', async () => {
    await using service = await startService();
    const transport = testTransport([routeOf('r', [smtpTarget(service.ports.smtp, { host: '127.0.0.1' })])]);
    const known = serviceUsers.alice;
    const to = [known.address, `nobody@${known.address.split('@')[1] ?? ''}`];
    const text = `From: <a@here.test>\r\nTo: <${known.address}>\r\nSubject: from outside\r\n\r\n.\r\numlaut \u00fc\r\n`;
    const message = outboundMessage({ text, body: '8bitmime' });
    const result = await transport.send(attemptOf(message, to), 'r');
    expect(result.outcomes.map(told)).toEqual([
      expect.stringMatching(/^delivered 250 2\./),
      expect.stringMatching(/^never 550 5\.1\.1 /),
    ]);
    expect(result.outcomes[0]?.facts.tls).toMatchObject({
      version: 'TLSv1.3',
      policy: 'opportunistic',
      isVerified: false,
    });
  }, 60_000);
});

describe('a SOCKS5 proxy', () => {
  /** RFC 1928 and 1929, as far as CONNECT goes. `refusal` is the reply's code. */
  async function proxy(refusal = 0): Promise<{ readonly port: number; readonly logins: string[] }> {
    const logins: string[] = [];
    const server = net.createServer((socket) => {
      let step = 0;
      socket.on('error', () => undefined);
      const onData = (chunk: Buffer): void => {
        step += 1;
        if (step === 1) socket.write(Buffer.from([5, chunk.includes(2, 2) ? 2 : 0]));
        const hasLogin = step === 2 && chunk[0] === 1;
        if (hasLogin) {
          logins.push(chunk.subarray(2).toString('latin1'));
          socket.write(Buffer.from([1, 0]));
        }
        if (step === 1 || hasLogin) return;
        socket.off('data', onData);
        const answer = Buffer.from([5, refusal, 0, 1, 0, 0, 0, 0, 0, 0]);
        if (refusal !== 0) return void socket.end(answer);
        const to = net.connect(chunk.readUInt16BE(8), [...chunk.subarray(4, 8)].join('.'), () => {
          socket.write(answer);
          socket.pipe(to).pipe(socket);
        });
        to.on('error', () => socket.destroy());
      };
      socket.on('data', onData);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    opened.push({ [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())) });
    return { port: (server.address() as net.AddressInfo).port, logins };
  }
  const through = (port: number, credentials: { user: string; password: string } | null = null) => ({
    egress: { sourceAddresses: [], socks: { address: '127.0.0.1', port, credentials } },
  });

  test('connections go through it, with a login where it has one', async () => {
    const peer = await ScriptedPeer.start();
    opened.push(peer);
    const { port, logins } = await proxy();
    expect(only(await sendOver(smtpTarget(peer.port, through(port)), ['b@d.test'])).kind).toBe('delivered');
    const login = { user: 'u', password: 'p' };
    expect(only(await sendOver(smtpTarget(peer.port, through(port, login)), ['b@d.test'])).kind).toBe('delivered');
    expect(logins).toEqual(['u\x01p']);
  });

  test('what it refuses is told', async () => {
    const { port } = await proxy(4);
    expect(told(only(await sendOver(smtpTarget(25, through(port)), ['b@d.test'])))).toBe(
      'later 4.4.1 the SOCKS proxy: host unreachable',
    );
  });
});

describe('HTTP', () => {
  type Seen = { readonly headers: http.IncomingHttpHeaders; readonly body: Buffer };
  async function receiver(
    status: number,
    headers: Record<string, string> = {},
  ): Promise<{ readonly url: string; readonly seen: Seen[] }> {
    const seen: Seen[] = [];
    const server = http.createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        seen.push({ headers: request.headers, body: Buffer.concat(chunks) });
        response.writeHead(status, headers).end('words\n\u001B[2J');
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    opened.push({ [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())) });
    return { url: `http://127.0.0.1:${(server.address() as net.AddressInfo).port}/in`, seen };
  }
  const target = (url: string, key: Buffer | null = null) =>
    ({ kind: 'http', priority: 0, weight: 1, url, key }) as const;

  test('the message as the body, the envelope in fields, signed as RFC 9421 has it', async () => {
    const { url, seen } = await receiver(204);
    const message = outboundMessage({ prefix: 'X: y\r\n', returnPath: 'bounce@here.test' });
    const result = await sendOver(target(url, Buffer.from('secret')), ['b@d.test', 'jürgen@d.test'], message);
    expect(result.outcomes.map(({ kind }) => kind)).toEqual(['delivered', 'delivered']);
    const [{ headers, body }] = seen as [Seen];
    expect(body.toString()).toBe(`X: y\r\n${plainMessage}`);
    expect(headers).toMatchObject({
      'content-type': 'message/rfc822',
      'postrider-sender': 'bounce@here.test',
      'postrider-recipients': 'b@d.test, j%C3%BCrgen@d.test',
      'content-digest': `sha-256=:${createHash('sha256').update(body).digest('base64')}:`,
    });
    const parameters = String(headers['signature-input']).replace(/^sig=/, '');
    const covered = [...(/^\(([^)]*)\)/.exec(parameters)?.[1] ?? '').matchAll(/"([^"]+)"/g)].map(
      (match) => match[1] ?? '',
    );
    expect(covered).toEqual(
      expect.arrayContaining(['@method', '@target-uri', 'content-digest', 'postrider-recipients']),
    );
    const special: Readonly<Record<string, string>> = { '@method': 'POST', '@target-uri': url };
    const lines = covered.map((name) => `"${name}": ${special[name] ?? String(headers[name])}`);
    const base = [...lines, `"@signature-params": ${parameters}`].join('\n');
    expect(headers['signature']).toBe(`sig=:${createHmac('sha256', 'secret').update(base).digest('base64')}:`);
  });

  test.each([
    [200, {}, 'delivered HTTP 200 words [2J', 'good'],
    [302, { location: 'http://127.0.0.1:1/' }, 'later HTTP 302 words [2J', 'same'],
    [400, {}, 'never HTTP 400 words [2J', 'same'],
    [404, {}, 'later HTTP 404 words [2J', 'same'],
    [413, {}, 'never HTTP 413 words [2J', 'same'],
    [429, { 'retry-after': '60' }, 'later HTTP 429 words [2J', 'slower'],
    [503, {}, 'later HTTP 503 words [2J', 'slower'],
  ] as const)('%i', async (status, headers, words, pace) => {
    const { url } = await receiver(status, headers);
    const result = await sendOver(target(url), ['b@d.test']);
    const outcome = only(result);
    expect(told(outcome)).toBe(words);
    expect(result.pace.kind).toBe(pace);
    if (status === 429) {
      const wait = outcome.kind === 'later' ? (outcome.notBefore?.getTime() ?? 0) - Date.now() : 0;
      expect(wait).toBeGreaterThan(50_000);
    }
  });

  test('nobody listens', async () => {
    const [port] = (await freePorts(1)) as [number];
    const url = `http://127.0.0.1:${port}/`;
    expect(told(only(await sendOver(target(url), ['b@d.test'])))).toBe(
      `later 4.4.1 127.0.0.1:${port} could not be reached (ECONNREFUSED)`,
    );
  });
});
