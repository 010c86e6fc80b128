import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../harness/database.ts';
import { ImapLine } from '../harness/imap-line.ts';
import { startService, type Service } from '../harness/service.ts';

/** Deliveries whose way is timed. */
const deliveries = 200;

describe('two servers on one database', () => {
  let database: TestDatabase;
  let first: Service;
  let second: Service;
  beforeAll(async () => {
    database = await createTestDatabase();
    first = await startService({ databaseUrl: database.url });
    // Two servers of one installation have one keyring.
    second = await startService({ databaseUrl: database.url, dataDirectory: first.dataDirectory });
  });
  afterAll(async () => {
    await second?.[Symbol.asyncDispose]();
    await first?.[Symbol.asyncDispose]();
    await database?.[Symbol.asyncDispose]();
  });

  test(
    'a delivery through one wakes an IDLE client of the other in under 200 ms (p99)',
    { timeout: 120_000 },
    async () => {
      using idler = await ImapLine.login(second, second.users.alice);
      await idler.ok('SELECT INBOX');
      idler.send('i IDLE\r\n');
      await idler.until(/^\+ .*\r\n/);
      const took: number[] = [];
      for (let n = 1; n <= deliveries; n++) {
        const heard = idler.until(new RegExp(`\\* ${n} EXISTS\\r\\n`)).then(() => performance.now());
        await first.deliver(first.users.alice.address, `Subject: ${n}\r\n\r\n.\r\n`);
        // deliver resolves with the 250: the commit is behind it.
        const answered = performance.now();
        took.push((await heard) - answered);
        if (n % 20 === 0) await sleep(50);
      }
      took.sort((a, b) => a - b);
      const p50 = took[deliveries >> 1] ?? Infinity;
      const p99 = took[Math.floor(deliveries * 0.99)] ?? Infinity;
      console.log(`250 to EXISTS in the other process: p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`);
      expect(p99).toBeLessThan(200);
      idler.send('DONE\r\n');
      await idler.until(/i OK .*\r\n/);
    },
  );

  test('flags, expunges and new messages of one session reach a session of the other server', async () => {
    await first.deliver(first.users.bob.address, 'Subject: one\r\n\r\n1\r\n');
    await first.deliver(first.users.bob.address, 'Subject: two\r\n\r\n2\r\n');
    using here = await ImapLine.login(first, first.users.bob);
    using there = await ImapLine.login(second, second.users.bob);
    await here.ok('SELECT INBOX');
    await there.ok('SELECT INBOX');
    there.send('i IDLE\r\n');
    await there.until(/^\+ .*\r\n/);
    await here.ok('STORE 1 +FLAGS (\\Flagged Later)');
    expect(await there.until(/\* 1 FETCH \(.*\)\r\n/)).toMatch(/FLAGS \(.*\\Flagged.*Later.*\)/);
    await here.ok('STORE 1 +FLAGS.SILENT (\\Deleted)');
    await here.ok('EXPUNGE');
    await there.until(/\* 1 EXPUNGE\r\n/);
    there.send('DONE\r\n');
    await there.until(/i OK .*\r\n/);
    expect(await there.ok('FETCH 1 BODY.PEEK[HEADER.FIELDS (SUBJECT)]')).toContain('Subject: two');
  });

  test('concurrent deliveries through both give ascending UIDs, each once', { timeout: 60_000 }, async () => {
    await Promise.all(
      Array.from({ length: 40 }, (_, n) =>
        (n % 2 === 0 ? first : second).deliver('bob+many@example.test', `Subject: many ${n}\r\n\r\n.\r\n`),
      ),
    );
    using reader = await ImapLine.login(first, first.users.bob);
    await reader.ok('SELECT INBOX');
    const reply = await reader.ok('UID SEARCH SUBJECT "many"');
    const uids = (/^\* SEARCH (.*)\r\n/m.exec(reply)?.[1] ?? '').split(' ').map(Number);
    expect(new Set(uids).size).toBe(40);
    expect(uids).toEqual(uids.toSorted((a, b) => a - b));
  });
});
