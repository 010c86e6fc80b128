import { describe, expect, test } from 'vitest';
import { startDebianPostgres } from '../harness/debian-postgres.ts';
import { ImapLine } from '../harness/imap-line.ts';
import { lacks } from '../harness/programs.ts';
import { startService, users } from '../harness/service.ts';

describe.skipIf(lacks('/usr/lib/postgresql/15/bin/postgres'))('Postgres 15, the oldest supported', () => {
  test('receives, stores, changes, searches and serves mail', async () => {
    await using postgres = await startDebianPostgres();
    await using service = await startService({ databaseUrl: postgres.url });
    await service.deliver([users.alice.address, users.bob.address], 'Subject: on fifteen\r\n\r\nbody text\r\n');
    using reader = await ImapLine.login(service, users.alice);
    await reader.ok('SELECT INBOX');
    expect(await reader.ok('FETCH 1 (FLAGS BODY[TEXT])')).toContain('body text');
    await reader.ok('STORE 1 +FLAGS (\\Flagged Later)');
    await reader.ok('COPY 1 Archive');
    expect(await reader.append('Archive', 'Subject: appended\r\n\r\nhere\r\n')).toContain('OK [APPENDUID');
    expect(await reader.ok('UID SEARCH KEYWORD Later TEXT "body"')).toMatch(/\* SEARCH 1\r\n/);
    await reader.ok('MOVE 1 Trash');
    expect(await reader.ok('STATUS Archive (MESSAGES UNSEEN)')).toContain('MESSAGES 2');
    expect(await reader.ok('STATUS Trash (MESSAGES)')).toContain('MESSAGES 1');
  });
});
