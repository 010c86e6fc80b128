/** RFC 8555 section 8.3, over real sockets. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { silentLogger } from '#shared/observe/logger.ts';
import { createMetrics } from '#shared/observe/metrics.ts';
import { ChallengeListener } from './challenge-listener.ts';

const asked: string[] = [];
let find: (token: string) => Promise<string | null>;
let listener: ChallengeListener;
const metrics = createMetrics();
beforeEach(async () => {
  asked.length = 0;
  find = (token) => {
    asked.push(token);
    return Promise.resolve(token === 'abc_-1' ? 'abc_-1.thumb' : null);
  };
  listener = await ChallengeListener.open({
    host: '127.0.0.1',
    port: 0,
    maxConnections: 40,
    maxConnectionsPerAddress: 40,
    front: {
      isBalancer: null,
      sawClient: () => undefined,
      onBadHeader: () => undefined,
    },
    logger: silentLogger,
    metrics,
    find: (token) => find(token),
  });
});
afterEach(() => listener.stop(0));

const at = (path: string, method = 'GET') => fetch(`http://127.0.0.1:${listener.port}${path}`, { method });

/** Everything that is said to these bytes. */
async function said(...pieces: readonly string[]): Promise<string> {
  const socket = connect(listener.port, '127.0.0.1');
  let text = '';
  socket.on('data', (chunk: Buffer) => void (text += chunk.toString('latin1')));
  for (const piece of pieces) {
    socket.write(piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await once(socket, 'close');
  return text;
}

test('a token that is there is answered with its key authorization', async () => {
  const response = await at('/.well-known/acme-challenge/abc_-1');
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('application/octet-stream');
  expect(await response.text()).toBe('abc_-1.thumb');
});

test('HEAD has no body, and a request may come in pieces and in absolute form', async () => {
  const head = await at('/.well-known/acme-challenge/abc_-1', 'HEAD');
  expect([head.status, head.headers.get('content-length')]).toEqual([200, '12']);
  const text = await said(
    'GET http://mail.a.test/.well-known/acme-chal',
    'lenge/abc_-1 HTTP/1.1\r\nHost: mail.a.test\r\n',
    '\r\n',
  );
  expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\nabc_-1\.thumb$/);
});

test('what is no token is not looked for', async () => {
  for (const path of ['/', '/.well-known/acme-challenge/', '/.well-known/acme-challenge/a.b', '/metrics']) {
    expect((await at(path)).status, path).toBe(404);
  }
  expect((await at('/.well-known/acme-challenge/abc_-1', 'POST')).status).toBe(404);
  expect(await said('GET\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /);
  expect(asked).toEqual([]);
  expect((await at('/.well-known/acme-challenge/unknown')).status).toBe(404);
  expect(asked).toEqual(['unknown']);
});

test('a request without an end is cut off', async () => {
  expect(await said('GET / HTTP/1.1\r\nX: ', 'x'.repeat(9000))).toBe('');
});

test('a database that is away is no wrong answer, and no more than eight are asked of it at a time', async () => {
  find = () => Promise.reject(new Error('away'));
  expect((await at('/.well-known/acme-challenge/abc_-1')).status).toBe(503);
  const waiting = Promise.withResolvers<string | null>();
  let reached = 0;
  const full = Promise.withResolvers<void>();
  find = () => {
    reached += 1;
    if (reached === 8) full.resolve();
    return waiting.promise;
  };
  const first = Array.from({ length: 8 }, () => at('/.well-known/acme-challenge/abc_-1'));
  await full.promise;
  expect((await at('/.well-known/acme-challenge/abc_-1')).status).toBe(503);
  waiting.resolve('x');
  expect((await Promise.all(first)).map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 200));
});
