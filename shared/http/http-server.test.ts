import { afterEach, beforeEach, expect, test } from 'vitest';
import { Health } from '#shared/observe/health.ts';
import { silentLogger } from '#shared/observe/logger.ts';
import { createMetrics, type Metrics } from '#shared/observe/metrics.ts';
import { HttpServer, type HttpServerOptions } from './http-server.ts';

let http: HttpServer;
let health: Health;
let metrics: Metrics;

function options(): HttpServerOptions {
  return {
    host: '127.0.0.1',
    port: 0,
    health,
    printMetrics: () => {
      metrics.spoolBytes.set(7);
      return metrics.registry.metrics();
    },
    info: {
      name: 'Postrider',
      version: '1.2.3',
      developmentMode: true,
      roles: ['imap'],
      security: {
        loginNeedsTls: false,
        submissionNeedsLogin: false,
        anyPasswordAccepted: true,
        maxMessageBytes: 1,
        maxConnectionsPerAddress: 2,
      },
    },
    logger: silentLogger,
    explain: (error) => new Error(`explained ${(error as NodeJS.ErrnoException).code}`),
  };
}

beforeEach(async () => {
  health = new Health();
  metrics = createMetrics();
  http = await HttpServer.open(options());
});
afterEach(() => http[Symbol.asyncDispose]());

const get = (path: string, init: RequestInit = {}) => fetch(`http://127.0.0.1:${http.port}${path}`, init);

test('/healthz answers while the process runs, whatever else is wrong', async () => {
  health.require('database', 'not seen yet');
  expect((await get('/healthz')).status).toBe(200);
});

test('/readyz is 503 with reasons until all is met, 200 when degraded, 503 when stopping', async () => {
  health.require('listeners', 'not bound yet');
  const starting = await get('/readyz');
  expect(starting.status).toBe(503);
  expect(await starting.json()).toMatchObject({
    state: 'starting',
    reasons: [{ name: 'listeners', reason: 'not bound yet' }],
  });
  health.meet('listeners');
  expect((await get('/readyz')).status).toBe(200);
  health.degrade('database', 'does not answer');
  const degraded = await get('/readyz');
  expect(degraded.status).toBe(200);
  expect(await degraded.json()).toMatchObject({ state: 'degraded', isReady: true });
  health.stop();
  expect((await get('/readyz')).status).toBe(503);
});

test('/metrics prints every metric', async () => {
  metrics.connectionsOpened.inc({ listener: 'imap' }, 3);
  const answer = await get('/metrics');
  expect(answer.headers.get('content-type')).toContain('text/plain');
  const text = await answer.text();
  expect(text).toContain('postrider_connections_opened_total{listener="imap"} 3');
  expect(text).toContain('postrider_spool_bytes 7');
});

test('/api/v1/info tells version, mode and roles', async () => {
  expect(await (await get('/api/v1/info')).json()).toMatchObject({
    name: 'Postrider',
    version: '1.2.3',
    developmentMode: true,
    roles: ['imap'],
  });
});

test('anything else is 404, another method 405, and HEAD has no body', async () => {
  expect((await get('/etc/passwd')).status).toBe(404);
  expect((await get('/metrics', { method: 'POST', body: 'x'.repeat(100_000) })).status).toBe(405);
  const head = await get('/healthz', { method: 'HEAD' });
  expect([head.status, await head.text()]).toEqual([200, '']);
});

test('a taken port is explained', async () => {
  await expect(HttpServer.open({ ...options(), port: http.port })).rejects.toThrow('explained EADDRINUSE');
});
