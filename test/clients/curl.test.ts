import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { lacks } from '../harness/programs.ts';
import { runProgram } from '../harness/run-program.ts';
import { startService, type Service } from '../harness/service.ts';

describe.skipIf(lacks('curl'))('curl', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService();
  });
  afterAll(() => service[Symbol.asyncDispose]());

  function curl(...args: readonly string[]) {
    return runProgram('curl', ['-sS', '--cacert', service.certificateFile, ...args]);
  }

  test('sends by SMTP, and reads the same by IMAP over TLS', async () => {
    const message =
      'From: <bob@sender.test>\r\nTo: <alice@example.test>\r\nSubject: by curl\r\n\r\n.dots\r\n..twice\r\n';
    const to = service.users.alice.address;
    const sent = await runProgram(
      'curl',
      ['-sS', `smtp://127.0.0.1:${service.ports.smtp}`, '--mail-from', 'bob@sender.test', '--mail-rcpt', to, '-T', '-'],
      { input: message },
    );
    expect(sent).toMatchObject({ code: 0, stderr: '' });
    const login = `${to}:${service.users.alice.password}`;
    const read = await curl(`imaps://localhost:${service.ports.imapTls}/INBOX;MAILINDEX=1`, '-u', login);
    expect(read.stdout.endsWith(message)).toBe(true);
    expect(read.stdout).toMatch(/^Return-Path: <bob@sender\.test>\r\n/);
  });

  test('sends over submission with STARTTLS and AUTH', async () => {
    const { alice, bob } = service.users;
    const sent = await runProgram(
      'curl',
      [
        '-sS',
        '--ssl-reqd',
        '--cacert',
        service.certificateFile,
        `smtp://localhost:${service.ports.submission}`,
        '--mail-from',
        alice.address,
        '--mail-rcpt',
        bob.address,
        '-u',
        `${alice.address}:${alice.password}`,
        '-T',
        '-',
      ],
      { input: `From: ${alice.address}\r\nTo: ${bob.address}\r\nSubject: submitted\r\n\r\nhello\r\n` },
    );
    expect(sent).toMatchObject({ code: 0, stderr: '' });
    const found = await curl(
      `imaps://localhost:${service.ports.imapTls}/INBOX`,
      '-u',
      `${bob.address}:${bob.password}`,
      '-X',
      'SEARCH SUBJECT "submitted"',
    );
    expect(found.stdout).toMatch(/^\* SEARCH \d+\r\n$/);
  });

  test('a wrong password is refused, and cleartext IMAP asks for TLS first', async () => {
    const { alice } = service.users;
    const wrong = await curl(`imaps://localhost:${service.ports.imapTls}/INBOX`, '-u', `${alice.address}:wrong`);
    expect(wrong.code).toBe(67);
    const clear = await curl(
      `imap://localhost:${service.ports.imap}/INBOX`,
      '-u',
      `${alice.address}:${alice.password}`,
    );
    expect(clear.code).toBe(67);
    const starttls = await curl(
      '--ssl-reqd',
      `imap://localhost:${service.ports.imap}/INBOX;MAILINDEX=1;SECTION=HEADER.FIELDS%20(SUBJECT)`,
      '-u',
      `${alice.address}:${alice.password}`,
    );
    expect(starttls.stdout).toBe('Subject: by curl\r\n\r\n');
  });

  test('appends and lists', async () => {
    const { alice } = service.users;
    const login = ['-u', `${alice.address}:${alice.password}`];
    const url = `imaps://localhost:${service.ports.imapTls}`;
    const message = 'Subject: appended by curl\r\n\r\nbody\r\n';
    // curl appends only what it knows the size of.
    const file = path.join(service.dataDirectory, 'draft.eml');
    await writeFile(file, message);
    const put = await curl(`${url}/Drafts`, ...login, '-T', file);
    expect(put).toMatchObject({ code: 0, stderr: '' });
    expect((await curl(`${url}/Drafts;UID=1`, ...login)).stdout).toBe(message);
    const list = await curl(`${url}/`, ...login);
    for (const name of ['INBOX', 'Sent', 'Drafts', 'Trash', 'Spam', 'Archive'])
      expect(list.stdout).toContain(`"/" ${name}\r\n`);
  });
});
