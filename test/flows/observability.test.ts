/** What a session leaves in the log and in the metrics, and what it must not leave there. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LineClient } from '../harness/line-client.ts';
import { startService, type Service } from '../harness/service.ts';

type Line = Readonly<Record<string, unknown>> & { readonly event?: string };

const wrongPassword = 'open-sesame-9731';

let service: Service;

function lines(): readonly Line[] {
  return service
    .log()
    .split('\n')
    .slice(0, -1) // What follows the last line break is a line that is still being written.
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Line);
}

/** The first line that fits, waited for: the log may lag a moment behind the answer. */
async function logged(fields: Record<string, unknown>): Promise<Line> {
  const deadline = performance.now() + 5_000;
  for (;;) {
    const found = lines().find((line) => Object.entries(fields).every(([name, value]) => line[name] === value));
    if (found) return found;
    if (performance.now() > deadline) throw new Error(`no line ${JSON.stringify(fields)} in\n${service.log()}`);
    await sleep(20);
  }
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${service.ports.http}/metrics`)).text();
  return text
    .split('\n')
    .filter((line) => line.startsWith(name))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

beforeAll(async () => {
  service = await startService();
});
afterAll(() => service[Symbol.asyncDispose]());

async function receive(): Promise<string> {
  await using client = await LineClient.connect(service.ports.smtp);
  await client.line(/^220 /);
  await client.ask('EHLO observer.test', /^250 /);
  await client.ask('MAIL FROM:<a@sender.test>', /^250/);
  await client.ask(`RCPT TO:<${service.users.alice.address}>`, /^250/);
  await client.ask(`RCPT TO:<${service.users.bob.address}>`, /^250/);
  await client.ask('DATA', /^354/);
  client.send('Subject: seen\r\n\r\nbody\r\n.\r\n');
  const reply = await client.line(/^250 /);
  await client.ask('QUIT', /^221/);
  return reply.split(' ').at(-1) ?? '';
}

describe('the log', () => {
  test('one search by the id in the 250 tells the story of a message', async () => {
    const id = await receive();
    await logged({ event: 'msg.stored', message: id });
    const story = lines().filter((line) => line['message'] === id);
    expect(story.map(({ event }) => event)).toEqual(['msg.received', 'msg.stored']);
    expect(story[0]).toMatchObject({ sender: 'a@sender.test', recipients: 2, connection: expect.any(String) });
    expect(story[1]).toMatchObject({ mailboxes: 2 });
  });

  test('a connection opens and closes with the same id, where it came from and how much it moved', async () => {
    const id = await receive();
    const { connection } = await logged({ message: id });
    const opened = await logged({ connection, event: 'conn.open' });
    const closed = await logged({ connection, event: 'conn.close' });
    expect(opened).toMatchObject({ listener: 'mx', remoteAddress: '127.0.0.1' });
    expect(closed).toMatchObject({
      bytesRead: expect.any(Number),
      bytesWritten: expect.any(Number),
      seconds: expect.any(Number),
    });

    await using client = await LineClient.connect(service.ports.imapTls, true);
    await client.line(/^\* OK/);
    await client.ask('a1 LOGOUT', /^a1 OK/);
    const imap = await logged({ listener: 'imaps', event: 'conn.open' });
    expect(imap).toMatchObject({ remoteAddress: '127.0.0.1', tls: expect.stringContaining('TLSv1') });
    expect(await logged({ connection: imap['connection'], event: 'conn.close' })).toMatchObject({
      bytesRead: expect.any(Number),
      bytesWritten: expect.any(Number),
      seconds: expect.any(Number),
    });
  });

  test('logins are logged with mechanism and reason, and no password is in the log', async () => {
    const { address, password } = service.users.alice;
    await using imap = await LineClient.connect(service.ports.imapTls, true);
    await imap.line(/^\* OK/);
    await imap.ask(`a1 LOGIN ${address} ${wrongPassword}`, /^a1 NO/);
    await imap.ask(`a2 LOGIN ${address} "${password}"`, /^a2 OK/);
    await using smtp = await LineClient.connect(service.ports.submissionTls, true);
    await smtp.line(/^220 /);
    await smtp.ask('EHLO observer.test', /^250 /);
    const blob = Buffer.from(`\0${address}\0${wrongPassword}`).toString('base64');
    await smtp.ask(`AUTH PLAIN ${blob}`, /^535/);
    await logged({ event: 'auth.ok', mechanism: 'LOGIN' });
    await logged({ event: 'auth.fail', mechanism: 'LOGIN', reason: 'wrong-password' });
    await logged({ event: 'auth.fail', mechanism: 'PLAIN', reason: 'wrong-password' });
    for (const secret of [wrongPassword, blob, password]) expect(JSON.stringify(lines())).not.toContain(secret);
  });

  test('nonsense from a peer leaves no raw bytes in the log', async () => {
    await using imap = await LineClient.connect(service.ports.imapTls, true);
    await imap.line(/^\* OK/);
    await imap.ask('a1 FETCH (nonsense-8472', /^a1 BAD/);
    await using smtp = await LineClient.connect(service.ports.smtp);
    await smtp.line(/^220 /);
    await smtp.ask('XYZZY nonsense-8472', /^5\d\d/);
    await receive();
    expect(JSON.stringify(lines())).not.toContain('nonsense-8472');
  });
});

describe('the metrics', () => {
  test('count connections, messages, commands and logins', async () => {
    const before = {
      opened: await metric('postrider_connections_opened_total{listener="mx"}'),
      received: await metric('postrider_messages_received_total{listener="mx"}'),
      stored: await metric('postrider_messages_stored_total{source="delivery"}'),
      batches: await metric('postrider_delivery_batch_messages_count'),
      noops: await metric('postrider_imap_commands_total{verb="NOOP",outcome="ok"}'),
      imapLogins: await metric('postrider_auth_attempts_total{protocol="imap"'),
      smtpLogins: await metric('postrider_auth_attempts_total{protocol="submission"'),
    };
    await receive();
    const { address, password } = service.users.alice;
    await using imap = await LineClient.connect(service.ports.imapTls, true);
    await imap.line(/^\* OK/);
    await imap.ask(`a1 LOGIN ${address} "${password}"`, /^a1 OK/);
    await imap.ask('a2 NOOP', /^a2 OK/);
    await using smtp = await LineClient.connect(service.ports.submissionTls, true);
    await smtp.line(/^220 /);
    await smtp.ask('EHLO observer.test', /^250 /);
    await smtp.ask(`AUTH PLAIN ${Buffer.from(`\0${address}\0${password}`).toString('base64')}`, /^235/);
    expect(await metric('postrider_connections_opened_total{listener="mx"}')).toBe(before.opened + 1);
    expect(await metric('postrider_messages_received_total{listener="mx"}')).toBe(before.received + 1);
    expect(await metric('postrider_messages_stored_total{source="delivery"}')).toBe(before.stored + 2);
    expect(await metric('postrider_delivery_batch_messages_count')).toBe(before.batches + 1);
    expect(await metric('postrider_change_notifications_total{direction="sent"}')).toBeGreaterThan(0);
    expect(await metric('postrider_imap_commands_total{verb="NOOP",outcome="ok"}')).toBe(before.noops + 1);
    expect(await metric('postrider_auth_attempts_total{protocol="imap"')).toBe(before.imapLogins + 1);
    expect(await metric('postrider_auth_attempts_total{protocol="submission"')).toBe(before.smtpLogins + 1);
  });

  test('tell the state of the process, the pool, the certificate and the version', async () => {
    expect(await metric('process_cpu_seconds_total')).toBeGreaterThan(0);
    expect(await metric('postrider_database_up')).toBe(1);
    expect(await metric('postrider_database_connections{state="idle"}')).toBeGreaterThan(0);
    expect(await metric('postrider_certificate_expiry_timestamp_seconds')).toBeGreaterThan(Date.now() / 1000);
    expect(await metric('postrider_info{')).toBe(1);
  });

  test('hold no address, name or message id', async () => {
    const text = await (await fetch(`http://127.0.0.1:${service.ports.http}/metrics`)).text();
    expect(text).not.toMatch(/@|127\.0\.0\.1|alice|observer/);
  });
});

test('the pool bounds the connections to the database', async () => {
  await Promise.all(Array.from({ length: 30 }, receive));
  const { default: pg } = await import('pg');
  const client = new pg.Client({ connectionString: service.databaseUrl });
  await client.connect();
  const { rows } = await client.query<{ count: number }>(
    `select count(*)::int as count from pg_stat_activity
     where datname = current_database() and application_name like 'postrider%'`,
  );
  await client.end();
  // DATABASE_POOL_SIZE of the harness is 10; notifications and the delivery lane have connections of their own.
  expect(rows[0]?.count).toBeLessThanOrEqual(13);
});
