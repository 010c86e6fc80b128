import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { startEmbeddedPostgres } from '#server/embedded/embedded-postgres.ts';
import { ImapLine } from '../harness/imap-line.ts';
import { startService, users } from '../harness/service.ts';
import { brokenInvariants } from '../harness/store-invariants.ts';
import { makeMessage, SmtpLoad } from './smtp-load.ts';

const kills = 5;

describe('kill -9 of Postgres under load', () => {
  test(
    'senders hear 4yz, readers NO [UNAVAILABLE], the server recovers by itself, nothing accepted is lost',
    { timeout: 180_000 },
    async () => {
      const folder = await mkdtemp(path.join(os.tmpdir(), 'postrider-chaos-'));
      {
        await using postgres = await startEmbeddedPostgres({ directory: folder, logger: pino({ level: 'silent' }) });
        await using service = await startService({
          databaseUrl: postgres.url,
          dataDirectory: path.join(folder, 'data'),
        });
        using reader = await ImapLine.login(service, users.alice);
        await reader.ok('SELECT INBOX');
        const messages = Array.from({ length: 400 }, (_, n) =>
          makeMessage(`pg-${n}`, [users.alice.address], 400 + (n % 7) * 4000),
        );
        const load = new SmtpLoad(service.ports.smtp, messages);
        const running = load.run(8, AbortSignal.timeout(150_000));
        const refusals: string[] = [];
        for (let n = 1; n <= kills; n++) {
          const aim = Math.floor((messages.length * n) / (kills + 1));
          while (load.count('accepted') < aim) await sleep(2);
          process.kill(postgres.pid, 'SIGKILL');
          // The backends notice within moments; until the postmaster is back there is no database.
          await sleep(100);
          refusals.push(await reader.command('STATUS INBOX (MESSAGES)'));
        }
        await running;
        expect(load.count('accepted')).toBe(messages.length);
        expect(refusals.filter((reply) => /NO \[UNAVAILABLE\]/.test(reply)).length).toBeGreaterThan(0);
        expect(refusals.filter((reply) => !/NO \[UNAVAILABLE\]|OK/.test(reply))).toEqual([]);
        // The server was never restarted and never cut a sender: each said "later".
        expect(service.process.exitCode).toBeNull();
        expect(load.retries.length).toBeGreaterThan(0);
        expect(load.retries.filter((reason) => !/^4\d\d /.test(reason))).toEqual([]);
        await reader.ok('NOOP');
        const found = await reader.ok('FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]');
        const subjects = new Set([...found.matchAll(/Subject: load (pg-\d+)/g)].map((match) => match[1]));
        expect(subjects.size).toBe(messages.length);
        expect(await brokenInvariants(postgres.url)).toEqual([]);
        const ready = await fetch(`http://127.0.0.1:${service.ports.http}/readyz`);
        expect(ready.status).toBe(200);
        expect(await readFile(path.join(folder, 'postgres.log'), 'utf8')).toContain('redo done');
      }
      await rm(folder, { recursive: true, force: true });
    },
  );
});
