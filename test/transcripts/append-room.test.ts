import { expect, test } from 'vitest';
import { openPgStore } from '../contracts/pg-store.ts';
import { Client } from './client.ts';
import { ImapUnderTest } from './imap-under-test.ts';

test('who has no room and sends message after message fills no disk', async () => {
  await using backend = await openPgStore();
  await using imap = await ImapUnderTest.open(backend, { policy: {}, implicitTls: true, quotaBytes: 100 });
  const client = await Client.dial(imap.listener.port, true);
  await client.arrive('authenticated');
  for (let n = 1; n <= 5; n++) {
    const message = `Subject: ${n}\r\n\r\n`.padEnd(200, 'x');
    client.send(`a${n} APPEND INBOX {${message.length}+}\r\n${message}\r\n`);
    expect(await client.line()).toMatch(new RegExp(`^a${n} NO \\[OVERQUOTA\\]`));
  }
  expect(await backend.countBlobs()).toBeLessThanOrEqual(1);
  // What has room is stored as ever.
  client.send(`b1 APPEND INBOX {20+}\r\n${'y'.repeat(20)}\r\n`);
  expect(await client.line()).toMatch(/^b1 OK /);
  client.destroy();
});
