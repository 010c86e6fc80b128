import { execFileSync } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { startEmbeddedPostgres } from '#server/embedded/embedded-postgres.ts';
import { unprivilegedIds } from '#server/embedded/postgres-binaries.ts';
import { ImapLine } from '../harness/imap-line.ts';
import { startService, users } from '../harness/service.ts';

/** A small disk of its own takes root; CI has it. */
const canMount = process.getuid?.() === 0 && process.platform === 'linux';

describe.skipIf(!canMount)('a full disk of the database', () => {
  test(
    'SMTP says 452 4.3.1 and IMAP NO [UNAVAILABLE] to writes, reading goes on, and room mends it',
    { timeout: 120_000 },
    async () => {
      const folder = await mkdtemp(path.join(os.tmpdir(), 'postrider-full-'));
      await chmod(folder, 0o755);
      const disk = path.join(folder, 'disk');
      await mkdir(disk);
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m,mode=755', 'tmpfs', disk]);
      try {
        const space = path.join(disk, 'space');
        await mkdir(space, { mode: 0o700 });
        const ids = await unprivilegedIds();
        if (ids) await chown(space, ids.uid, ids.gid);
        await using postgres = await startEmbeddedPostgres({
          directory: path.join(folder, 'pg'),
          logger: pino({ level: 'silent' }),
        });
        const databaseUrl = await databaseOn(postgres.url, space);
        await using service = await startService({ databaseUrl, dataDirectory: path.join(folder, 'data') });
        await service.deliver(users.alice.address, 'Subject: before\r\n\r\nthere was room\r\n');
        const ballast = path.join(disk, 'ballast');
        fill(ballast);

        const large = `Subject: large\r\n\r\n${'x'.repeat(70)}\r\n`.padEnd(600_000, 'no room for this line\r\n');
        await expect(service.deliver(users.alice.address, large)).rejects.toMatchObject({
          responseCode: 452,
          response: /^452 4\.3\.1 /,
        });
        using reader = await ImapLine.login(service, users.alice);
        await reader.ok('SELECT INBOX');
        expect(await reader.ok('FETCH 1 BODY[TEXT]')).toContain('there was room');
        expect(await reader.append('INBOX', large)).toMatch(/NO \[UNAVAILABLE\]/);

        await rm(ballast);
        await service.deliver(users.alice.address, large);
        expect(await reader.append('INBOX', large)).toMatch(/OK \[APPENDUID/);
        expect(await reader.ok('STATUS INBOX (MESSAGES)')).toContain('MESSAGES 3');
      } finally {
        execFileSync('umount', [disk]);
        await rm(folder, { recursive: true, force: true });
      }
    },
  );
});

async function databaseOn(url: string, space: string): Promise<string> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(`create tablespace small location '${space}'`);
    await client.query('create database "full" tablespace small');
  } finally {
    await client.end();
  }
  const at = new URL(url);
  at.pathname = '/full';
  return at.toString();
}

/** Writes until nothing more fits. */
function fill(file: string): void {
  try {
    execFileSync('dd', ['if=/dev/zero', `of=${file}`, 'bs=64k'], { stdio: 'ignore' });
  } catch {
    return; // dd ends with "No space left on device", as it should.
  }
  throw new Error('the disk did not fill up');
}
