import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MemoryMailStore } from '#server/store/memory-mail-store.ts';
import { Client } from './client.ts';
import { fixtures } from './fixtures.ts';
import { ImapUnderTest } from './imap-under-test.ts';

const words = [
  'SELECT INBOX',
  'EXAMINE INBOX',
  'UID ',
  'FETCH ',
  'STORE ',
  'SEARCH ',
  'COPY ',
  'MOVE ',
  'EXPUNGE',
  'CLOSE',
  'APPEND INBOX ',
  '{3}',
  '{3+}',
  '{0+}',
  'abc',
  'IDLE',
  'DONE',
  'LIST "" ',
  'LSUB "" ',
  'STATUS INBOX ',
  '*',
  '%',
  'CREATE ',
  'DELETE ',
  'RENAME ',
  'NOOP',
  'UNSELECT',
  'CHECK',
  'AUTHENTICATE PLAIN',
  'ENABLE x',
  'ID NIL',
  '1:*',
  '1',
  '2,3',
  '9',
  '(FLAGS)',
  'BODY[]',
  'BODY[1.MIME]<0.9>',
  'ALL',
  'ENVELOPE',
  '+FLAGS (\\Seen a)',
  'OR SEEN ',
  'NOT ',
  'TEXT x',
  'CHARSET UTF-8 ',
  '(MESSAGES RECENT)',
  'a/b',
  '"',
  '\\',
  '&AOk-',
  '&',
  ' ',
  ' ',
  '\r\n',
  '\r\n',
  '\r\n',
  '\r\na1 ',
  '\r\na2 ',
  '\n',
  '\r',
  '\0',
  'LOGIN bob@example.net secret\r\n',
];

const piece = fc.oneof(fc.constantFrom(...words), fc.string({ unit: 'binary', maxLength: 6 }));

test(
  'whatever is sent, the server finds no fault with itself and goes on for others',
  { timeout: 60_000 },
  async () => {
    const store = new MemoryMailStore();
    const backend = {
      store,
      feed: store.feed,
      createAccount: () => Promise.resolve(store.createAccount(100_000)),
      countBlobs: () => Promise.resolve(store.blobCount),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
    const policy = { allowCleartextLogin: true, idleTimeoutMs: 2_000, transferTimeoutMs: 2_000, maxFailedLogins: 1 };
    await using imap = await ImapUnderTest.open(backend, { policy, implicitTls: false, quotaBytes: 100_000 });
    await imap.put([...(fixtures.three ?? []), ...(fixtures.nested ?? [])]);
    await fc.assert(
      fc.asyncProperty(fc.boolean(), fc.array(piece, { maxLength: 40 }), async (isLoggedIn, pieces) => {
        const client = await Client.dial(imap.listener.port, false);
        await client.arrive(isLoggedIn ? 'selected' : 'greeted');
        client.send(`a0 ${pieces.join('')}\r\nzz LOGOUT\r\n`);
        // Inside a literal or IDLE the LOGOUT is not one.
        await client.endOrSilence(30);
        client.destroy();
        expect(imap.failures).toEqual([]);
      }),
      { numRuns: 300 },
    );
    const next = await Client.dial(imap.listener.port, false);
    await next.arrive('selected');
    next.destroy();
  },
);
