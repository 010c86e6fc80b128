/** Development mode: everybody is let in, and nobody can overlook it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createDatabase } from '#shared/db/client.ts';
import { LineClient } from '../harness/line-client.ts';
import { startService, type Service } from '../harness/service.ts';

async function info(service: Service) {
  const response = await fetch(`http://127.0.0.1:${service.ports.http}/api/v1/info`);
  return (await response.json()) as {
    developmentMode: boolean;
    security: Readonly<Record<string, unknown>>;
  };
}

async function smtp(port: number, isTls = false): Promise<LineClient> {
  const client = await LineClient.connect(port, isTls);
  await client.line(/^220 /);
  return client;
}

/** The lines of the answer to EHLO. */
async function ehlo(client: LineClient): Promise<readonly string[]> {
  client.send('EHLO client.test\r\n');
  const lines: string[] = [];
  do lines.push(await client.line(/^250/));
  while (lines.at(-1)?.startsWith('250-'));
  return lines;
}

describe('development mode', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService({ env: { DEVELOPMENT_MODE: 'true' } });
  });
  afterAll(() => service[Symbol.asyncDispose]());

  test('an invented name of a local domain logs in with any password, in clear, and has its mailboxes', async () => {
    await using imap = await LineClient.connect(service.ports.imap);
    expect(await imap.line(/^\* OK/)).not.toContain('LOGINDISABLED');
    await imap.ask('a1 LOGIN somebody-new@example.test anything', /^a1 OK/);
    imap.send('a2 LIST "" "*"\r\n');
    const names = new Set<string>();
    for (;;) {
      const line = await imap.line(/^\* LIST|^a2 OK/);
      if (line.startsWith('a2')) break;
      names.add(line.split('"/" ').at(-1) ?? '');
    }
    for (const name of ['INBOX', 'Sent', 'Drafts', 'Trash', 'Spam']) expect(names).toContain(name);
  });

  test('a name of a foreign domain does not', async () => {
    await using imap = await LineClient.connect(service.ports.imap);
    await imap.line(/^\* OK/);
    await imap.ask('a1 LOGIN somebody@elsewhere.test anything', /^a1 NO/);
  });

  test('SMTP offers AUTH in clear, takes any password, and may be used without', async () => {
    await using client = await smtp(service.ports.submission);
    expect((await ehlo(client)).some((line) => line.includes('AUTH'))).toBe(true);
    const blob = Buffer.from('\0newcomer@example.test\0whatever').toString('base64');
    await client.ask(`AUTH PLAIN ${blob}`, /^235/);
    await using without = await smtp(service.ports.submissionTls, true);
    await ehlo(without);
    await without.ask('MAIL FROM:<newcomer@example.test>', /^250/);
    await without.ask(`RCPT TO:<${service.users.bob.address}>`, /^250/);
    await without.ask('DATA', /^354/);
    await without.ask('Subject: no login\r\n\r\nbody\r\n.', /^250/);
  });

  test('no mail leaves: what is for other systems is captured', async () => {
    await using client = await smtp(service.ports.submission);
    await ehlo(client);
    await client.ask('MAIL FROM:<newcomer@example.test>', /^250/);
    await client.ask('RCPT TO:<somebody@gmail.com>', /^250/);
    await client.ask('DATA', /^354/);
    expect(await client.ask('Subject: captured\r\n\r\nbody\r\n.', /^\d\d\d/)).toMatch(/^250 2\.0\.0 .*queued as q\d+/);
    await using database = createDatabase({ url: service.databaseUrl, maxConnections: 1 });
    const states = async (): Promise<readonly string[]> =>
      (
        await database.db.selectFrom('outbound_recipient').select('state').where('domain', '=', 'gmail.com').execute()
      ).map(({ state }) => state);
    await expect.poll(states, { timeout: 10_000 }).toEqual(['captured']);
  });

  test('it is loud: in the log at the start and at every login, in the information and in the metrics', async () => {
    await using imap = await LineClient.connect(service.ports.imap);
    await imap.line(/^\* OK/);
    await imap.ask('a1 LOGIN loud@example.test anything', /^a1 OK/);
    // The log comes through a pipe, later than the answer.
    await expect.poll(() => service.log()).toMatch(/"event":"auth\.development".*"dev":true.*loud@example\.test/);
    expect(service.log()).toMatch(/"level":"warn".*"event":"server\.development-mode"/);
    expect(service.log()).toContain('Postrider is ready. DEVELOPMENT MODE');
    expect(await info(service)).toMatchObject({
      developmentMode: true,
      security: { anyPasswordAccepted: true, loginNeedsTls: false, submissionNeedsLogin: false },
    });
    const metrics = await (await fetch(`http://127.0.0.1:${service.ports.http}/metrics`)).text();
    expect(metrics).toMatch(/postrider_info\{[^}]*development="true"\} 1/);
  });

  test('mail is in the database: it is there after a restart', async () => {
    await using imap = await LineClient.connect(service.ports.imap);
    await imap.line(/^\* OK/);
    await imap.ask('a1 LOGIN kept@example.test x', /^a1 OK/);
    await service.deliver('kept@example.test', 'Subject: kept\r\n\r\nbody\r\n');
    await using again = await startService({
      databaseUrl: service.databaseUrl,
      dataDirectory: service.dataDirectory,
      env: { DEVELOPMENT_MODE: 'true' },
    });
    await using later = await LineClient.connect(again.ports.imap);
    await later.line(/^\* OK/);
    await later.ask('b1 LOGIN kept@example.test other', /^b1 OK/);
    await later.ask('b2 STATUS INBOX (MESSAGES)', /^\* STATUS.*MESSAGES 1/);
  });
});

describe('without development mode', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService();
  });
  afterAll(() => service[Symbol.asyncDispose]());

  test('port 25 offers STARTTLS and no AUTH, and never asks for it', async () => {
    await using client = await smtp(service.ports.smtp);
    const lines = await ehlo(client);
    expect(lines.some((line) => line.includes('STARTTLS'))).toBe(true);
    expect(lines.some((line) => line.includes('AUTH'))).toBe(false);
    await client.ask('MAIL FROM:<a@sender.test>', /^250/);
  });

  test('submission answers 530 to MAIL without AUTH, on 465 and on 587', async () => {
    await using tls = await smtp(service.ports.submissionTls, true);
    await ehlo(tls);
    await tls.ask('MAIL FROM:<alice@example.test>', /^530/);
    await using clear = await smtp(service.ports.submission);
    expect((await ehlo(clear)).some((line) => line.includes('AUTH'))).toBe(false);
    await clear.ask('MAIL FROM:<alice@example.test>', /^530/);
  });

  test('nothing is relayed for strangers', async () => {
    await using client = await smtp(service.ports.smtp);
    await ehlo(client);
    await client.ask('MAIL FROM:<a@sender.test>', /^250/);
    expect(await client.ask('RCPT TO:<x@gmail.com>', /^\d\d\d/)).toMatch(/^550 5\.7\.1/);
  });

  test('an invented name does not log in, and LOGIN in clear is refused', async () => {
    await using imap = await LineClient.connect(service.ports.imap);
    expect(await imap.line(/^\* OK/)).toContain('LOGINDISABLED');
    await imap.ask('a1 LOGIN somebody-new@example.test anything', /^a1 NO \[PRIVACYREQUIRED\]/);
    await using tls = await LineClient.connect(service.ports.imapTls, true);
    await tls.line(/^\* OK/);
    await tls.ask('a1 LOGIN somebody-new@example.test anything', /^a1 NO/);
  });

  test('the defences that are on are listed', async () => {
    expect(await info(service)).toMatchObject({
      developmentMode: false,
      security: { anyPasswordAccepted: false, loginNeedsTls: true, submissionNeedsLogin: true },
    });
  });
});
