import { once } from 'node:events';
import { connect } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import fc from 'fast-check';
import { afterEach, expect, test, vi } from 'vitest';
import { MailError } from '#server/mail/mail-error.ts';
import type { MailStore, SpooledMessage } from '#server/mail/ports.ts';
import { makeSelfSigned } from '#server/tls/self-signed.ts';
import { SpoolFile } from '#server/wire/spool-file.ts';
import type { MemoryMailStore } from '#server/store/memory-mail-store.ts';
import { openBench, type Bench, type BenchOverrides, type SmtpClient } from './smtp-bench.ts';

let bench: Bench;
afterEach(async () => {
  vi.restoreAllMocks();
  await bench[Symbol.asyncDispose]();
});

async function open(overrides: BenchOverrides = {}): Promise<SmtpClient> {
  bench = await openBench(overrides);
  return bench.dial();
}

const message = 'From: ann@sender.test\r\nSubject: hello\r\n\r\nGood morning\r\n';

/** A store whose `deliver` is `instead`. */
function delivering(
  instead: (store: MemoryMailStore, ...args: Parameters<MailStore['deliver']>) => ReturnType<MailStore['deliver']>,
) {
  return (store: MemoryMailStore): MailStore =>
    new Proxy<MailStore>(store, {
      get: (target, name) =>
        name === 'deliver'
          ? (...args: Parameters<MailStore['deliver']>) => instead(store, ...args)
          : (Reflect.get(target, name) as unknown),
    });
}

test.each([
  [{ kind: 'unavailable' } as const, /^451 4\.3\.0 /],
  [{ kind: 'storage-full' } as const, /^452 4\.3\.1 /],
  [{ kind: 'no-such-account' } as const, /^451 4\.2\.0 /],
])(
  'a store that refuses with %o: the client hears it after the message, and the session goes on',
  async (fault, reply) => {
    using client = await open({ store: delivering(() => Promise.reject(new MailError(fault))) });
    await client.begin('alice@home.test');
    expect(await client.data(message)).toMatch(reply);
    expect(await client.say('NOOP')).toMatch(/^250/);
    expect(bench.spools.memoryUsed).toBe(0);
  },
);

test('a bug in the store is 451 and no more', async () => {
  using client = await open({ store: delivering(() => Promise.reject(new Error('secret detail'))) });
  await client.begin('alice@home.test');
  expect(await client.data(message)).toBe('451 4.3.0 Local error, try again later');
});

test('a full disk under the spool is 452 4.3.1', async () => {
  using client = await open({ maxSpoolMemoryBytes: 0 });
  vi.spyOn(SpoolFile.prototype, 'append').mockRejectedValueOnce(Object.assign(new Error('full'), { code: 'ENOSPC' }));
  await client.begin('alice@home.test');
  expect(await client.data(message)).toMatch(/^452 4\.3\.1 /);
  await client.envelope('alice@home.test');
  expect(await client.data(message)).toMatch(/^250 /);
});

test('no reply before the commit', async () => {
  let commit: () => void = () => undefined;
  const committing = new Promise<void>((resolve) => (commit = resolve));
  using client = await open({
    store: delivering(async (store, ...args) => {
      await committing;
      return store.deliver(...args);
    }),
  });
  await client.begin('alice@home.test');
  const reply = client.data(message);
  const first = await Promise.race([reply, new Promise((resolve) => setTimeout(() => resolve('nothing yet'), 150))]);
  expect(first).toBe('nothing yet');
  commit();
  expect(await reply).toMatch(/^250 /);
});

test('a message of the full 50 MiB never lies in memory', async () => {
  let seen: SpooledMessage | null = null;
  using client = await open({
    store: delivering(async (_store, spooled) => {
      seen = spooled;
      return [];
    }),
  });
  await client.begin('alice@home.test');
  await client.say('DATA');
  const line = `${'x'.repeat(1022)}\r\n`;
  const block = Buffer.from(line.repeat(1024));
  let most = 0;
  for (let n = 0; n < 50; n++) {
    client.write(block);
    if (client.socket.writableNeedDrain) await once(client.socket, 'drain');
    most = Math.max(most, bench.spools.memoryUsed);
  }
  expect(await client.say('.')).toMatch(/^250 /);
  expect(most).toBeLessThanOrEqual(1024 * 1024);
  expect(seen).toMatchObject({ size: 50 * 1024 * 1024, inMemory: null });
});

test('too many errors, commands, or words that are none close the connection with 421', async () => {
  using client = await open({ options: { maxErrors: 5, maxCommands: 12 } });
  await client.begin();
  for (let n = 0; n < 5; n++) expect(await client.say('RCPT TO:<nobody@home.test>')).toMatch(/^550/);
  expect(await client.reply()).toBe('421 4.7.0 Too many errors');
  expect(await client.reply()).toBe('closed');
  using second = await bench.dial();
  await second.reply();
  for (let n = 0; n < 12; n++) expect(await second.say('NOOP')).toMatch(/^250/);
  expect(await second.say('NOOP')).toMatch(/^421 4\.7\.0/);
  expect(await second.reply()).toBe('closed');
});

test('an accepted message gives the commands back', async () => {
  using client = await open({ options: { maxCommands: 8 } });
  await client.begin('alice@home.test');
  for (let n = 0; n < 5; n++) {
    expect(await client.data(message)).toMatch(/^250 /);
    await client.envelope('alice@home.test');
  }
});

test('an endless line is 421', async () => {
  using client = await open();
  await client.reply();
  client.write('x'.repeat(20_000));
  expect(await client.reply()).toMatch(/^421 4\.7\.0 /);
  expect(await client.reply()).toBe('closed');
});

test('a client that is silent hears 421 4.4.2, one that dribbles its message too', async () => {
  using client = await open({ options: { idleTimeoutMs: 200, dataTimeoutMs: 300 } });
  await client.reply();
  expect(await client.reply()).toMatch(/^421 4\.4\.2 /);
  using slow = await bench.dial();
  await slow.begin('alice@home.test');
  await slow.say('DATA');
  const dribble = setInterval(() => slow.write('x\r\n'), 50);
  expect(await slow.reply()).toMatch(/^421 4\.4\.2 /);
  expect(await slow.reply()).toBe('closed');
  clearInterval(dribble);
  await expect.poll(() => bench.spools.memoryUsed).toBe(0);
  expect(await bench.inbox(bench.alice)).toHaveLength(0);
});

test('connections beyond the bound of an address are told 421, and their place is free again later', async () => {
  using first = await open({ options: { maxConnectionsPerAddress: 2 } });
  await first.reply();
  using second = await bench.dial();
  await second.reply();
  using third = await bench.dial();
  expect(await third.reply()).toBe('421 4.7.0 Too many connections, try again later');
  expect(await third.reply()).toBe('closed');
  expect(await second.say('QUIT')).toMatch(/^221/);
  second.socket.destroy();
  await expect.poll(() => bench.listener.connections).toBe(1);
  using fourth = await bench.dial();
  expect(await fourth.reply()).toMatch(/^220/);
});

test('a connection that turned to TLS gives its place back too', async () => {
  bench = await openBench({ options: { maxConnectionsPerAddress: 2 } });
  for (let n = 0; n < 4; n++) {
    using client = await bench.dial();
    expect(await client.reply()).toMatch(/^220/);
    await client.say('EHLO client.test');
    await client.startTls();
    expect(await client.say('QUIT')).toMatch(/^221/);
    client.socket.destroy();
    await expect.poll(() => bench.listener.connections).toBe(0);
  }
  expect((await bench.metrics.connectionsOpen.get()).values[0]?.value).toBe(0);
});

test('who talks before the greeting is closed, where the greeting waits', async () => {
  using hasty = await open({ options: { greetingDelayMs: 300 } });
  hasty.write('EHLO client.test\r\n');
  expect(await hasty.reply()).toMatch(/^421 4\.7\.0 /);
  expect(await hasty.reply()).toBe('closed');
  using patient = await bench.dial();
  expect(await patient.reply()).toMatch(/^220/);
});

test.each(['starttls', 'implicit'] as const)(
  'garbage instead of a TLS handshake (%s) harms nobody else',
  async (tls) => {
    bench = await openBench({ options: { tls } });
    for (let n = 0; n < 3; n++) {
      const socket = connect(bench.listener.port, '127.0.0.1');
      socket.on('error', () => undefined);
      await once(socket, 'connect');
      if (tls === 'starttls') {
        await once(socket, 'data');
        socket.write('EHLO x\r\nSTARTTLS\r\n');
        await once(socket, 'data');
      }
      socket.write('this is no handshake\r\n\r\n'.repeat(20));
      socket.resume();
      await once(socket, 'close');
    }
    using client = await bench.dial();
    expect(await client.reply()).toMatch(/^220/);
    const failures = await bench.metrics.tlsHandshakeFailures.get();
    expect(failures.values[0]?.value).toBe(3);
    await expect.poll(() => bench.listener.connections).toBe(1);
  },
);

test.each(['starttls', 'implicit'] as const)(
  'who leaves before or in a TLS handshake (%s) holds no place until its deadline',
  async (tls) => {
    bench = await openBench({ options: { tls } });
    const [clientHello = Buffer.alloc(0)] = await helloOf('mx.home.test');
    for (const sent of ['', clientHello.subarray(0, 50), clientHello]) {
      const socket = connect(bench.listener.port, '127.0.0.1');
      socket.on('error', () => undefined);
      await once(socket, 'connect');
      if (tls === 'starttls') {
        await once(socket, 'data');
        socket.write('EHLO x\r\nSTARTTLS\r\n');
        await once(socket, 'data');
      }
      socket.resume();
      socket.end(sent);
      await expect.poll(() => bench.listener.connections, { timeout: 3000 }).toBe(0);
    }
  },
);

/** What a TLS client sends first. */
async function helloOf(servername: string): Promise<readonly Buffer[]> {
  const sent: Buffer[] = [];
  const wire = new Duplex({
    read: () => undefined,
    write(chunk: Buffer, _encoding, done) {
      sent.push(chunk);
      done();
    },
  });
  const client = connectTls({ socket: wire, servername });
  client.on('error', () => undefined);
  await expect.poll(() => sent.length).toBeGreaterThan(0);
  client.destroy();
  return sent;
}

test('a replaced certificate is shown to the next client', async () => {
  bench = await openBench({ options: { tls: 'implicit' } });
  using before = await bench.dial();
  bench.tls.replace(await makeSelfSigned(['new.home.test'], new Date()));
  using after = await bench.dial();
  const names = [before, after].map(
    (client) =>
      (client.socket as { getPeerCertificate?: () => { subject: { CN: string } } }).getPeerCertificate?.().subject.CN,
  );
  expect(names).toEqual(['mx.home.test', 'new.home.test']);
});

test('stopping: idle clients hear 421 at once, a running message gets its answer first, nobody new gets in', async () => {
  using idle = await open();
  await idle.reply();
  using busy = await bench.dial();
  await busy.begin('alice@home.test');
  await busy.say('DATA');
  busy.write(message);
  const stopped = bench.listener.stop(10_000);
  expect(await idle.reply()).toBe('421 4.3.2 Service is stopping, try again');
  expect(await idle.reply()).toBe('closed');
  await expect(bench.dial()).rejects.toThrow();
  expect(await busy.say('.')).toMatch(/^250 /);
  expect(await busy.reply()).toBe('421 4.3.2 Service is stopping, try again');
  expect(await busy.reply()).toBe('closed');
  await stopped;
  expect(await bench.inbox(bench.alice)).toHaveLength(1);
});

test('stopping does not wait longer than it may for a client that never ends its message', async () => {
  using client = await open();
  await client.begin('alice@home.test');
  await client.say('DATA');
  client.write(message);
  const began = performance.now();
  await bench.listener.stop(200);
  expect(performance.now() - began).toBeLessThan(3000);
  expect(await client.reply()).toBe('closed');
  expect(await bench.inbox(bench.alice)).toHaveLength(0);
});

test('a port that is taken is told with what to do', async () => {
  bench = await openBench();
  await expect(openBench({ options: { port: bench.listener.port } })).rejects.toMatchObject({
    name: 'ProgramFault',
    exitCode: 78,
  });
});

const words = fc.constantFrom(
  'EHLO x',
  'HELO x',
  'MAIL FROM:<a@b.test>',
  'MAIL FROM:<>',
  'RCPT TO:<alice@home.test>',
  'RCPT TO:<>',
  'DATA',
  '.',
  '..',
  'RSET',
  'VRFY a',
  'AUTH PLAIN',
  'AUTH LOGIN',
  'AAAA',
  'HELP',
  'NOOP',
  '\0',
  '\xff\xfe',
  'GET / HTTP/1.1',
  'x'.repeat(2000),
);
const lineEnds = fc.constantFrom('\r\n', '\r\n', '\r\n', '\n', '\r', '');

test('whatever a client sends, and whenever it hangs up, the server serves the next one and keeps nothing', async () => {
  bench = await openBench({ options: { kind: 'submission', developmentMode: true } });
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(words, lineEnds), { maxLength: 25 }), fc.boolean(), async (lines, isReset) => {
      const socket = connect(bench.listener.port, '127.0.0.1');
      socket.on('error', () => undefined);
      socket.resume();
      socket.write(lines.map((parts) => parts.join('')).join(''), 'latin1');
      await new Promise((resolve) => setTimeout(resolve, 5));
      if (isReset) socket.resetAndDestroy();
      else socket.end();
      if (!socket.closed) await once(socket, 'close');
    }),
    { numRuns: 60 },
  );
  await expect.poll(() => bench.listener.connections).toBe(0);
  await expect.poll(() => bench.spools.memoryUsed).toBe(0);
  expect(bench.log.filter((line) => line['event'] === 'smtp.bug')).toEqual([]);
  using client = await bench.dial();
  await client.begin('alice@home.test');
  expect(await client.data(message)).toMatch(/^250 /);
});
