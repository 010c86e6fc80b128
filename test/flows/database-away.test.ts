/** The database goes away while the server runs, and comes back. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { createTestDatabase } from '../harness/database.ts';
import { LineClient } from '../harness/line-client.ts';
import { startProxy } from '../harness/proxy.ts';
import { startService, type Service } from '../harness/service.ts';

async function state(service: Service): Promise<readonly [number, string]> {
  const response = await fetch(`http://127.0.0.1:${service.ports.http}/readyz`);
  return [response.status, ((await response.json()) as { state: string }).state];
}

async function untilState(service: Service, wanted: string): Promise<void> {
  const deadline = performance.now() + 20_000;
  while ((await state(service))[1] !== wanted) {
    if (performance.now() > deadline) throw new Error(`not ${wanted}: ${String(await state(service))}`);
    await sleep(50);
  }
}

test('it stays ready and says degraded, answers later, and recovers by itself', { timeout: 90_000 }, async () => {
  await using database = await createTestDatabase();
  await using proxy = await startProxy(database.url);
  await using service = await startService({ databaseUrl: proxy.through(database.url) });
  const { address, password } = service.users.alice;
  await using imap = await LineClient.connect(service.ports.imapTls, true);
  await imap.line(/^\* OK/);
  await imap.ask(`a1 LOGIN ${address} "${password}"`, /^a1 OK/);
  await imap.ask('a2 SELECT INBOX', /^a2 OK/);

  proxy.refuse(true);
  proxy.cut();
  await untilState(service, 'degraded');
  expect(await state(service)).toEqual([200, 'degraded']);
  const metrics = await (await fetch(`http://127.0.0.1:${service.ports.http}/metrics`)).text();
  expect(metrics).toContain('postrider_database_up 0');

  await using smtp = await LineClient.connect(service.ports.smtp);
  await smtp.line(/^220 /);
  await smtp.ask('EHLO sender.test', /^250 /);
  await smtp.ask('MAIL FROM:<a@sender.test>', /^250/);
  expect(await smtp.ask(`RCPT TO:<${address}>`, /^\d\d\d/)).toMatch(/^451 4\.3\.0/);
  await imap.ask('a3 STATUS Sent (MESSAGES)', /^a3 NO \[UNAVAILABLE\]/);
  await using late = await LineClient.connect(service.ports.imapTls, true);
  await late.line(/^\* OK/);
  await late.ask(`b1 LOGIN ${address} "${password}"`, /^b1 NO \[UNAVAILABLE\]/);

  proxy.refuse(false);
  await untilState(service, 'ready');
  await service.deliver(address, 'Subject: back\r\n\r\nbody\r\n');
  await imap.ask('a4 NOOP', /^\* 1 EXISTS/);
  await expect.poll(() => service.log()).toContain('"event":"db.up"');
  expect(service.log()).toContain('"event":"db.down"');
  expect(await service.stop()).toBe(0);
});

test('it stops in good order while the database is away', { timeout: 60_000 }, async () => {
  await using database = await createTestDatabase();
  await using proxy = await startProxy(database.url);
  await using service = await startService({ databaseUrl: proxy.through(database.url) });
  await service.deliver(service.users.alice.address, 'Subject: before\r\n\r\nbody\r\n');
  proxy.refuse(true);
  proxy.cut();
  await untilState(service, 'degraded');
  const startedAt = performance.now();
  expect(await service.stop()).toBe(0);
  expect(performance.now() - startedAt).toBeLessThan(10_000);
});
