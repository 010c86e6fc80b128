/** What is read of messages' bytes for one client, whose pace nobody knows, stays little, and lies in memory used again. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDatabase, type PostgresDatabase } from '#shared/db/client.ts';
import type { MessageContent } from '#server/mail/ports.ts';
import { openPgStore, type PgStoreUnderTest } from '../../test/contracts/pg-store.ts';
import { everyUid, letter, TestAccount } from '../../test/contracts/store-under-test.ts';
import { PgMailStore } from './pg-mail-store.ts';

let under: PgStoreUnderTest;
let watched: PostgresDatabase;
let store: PgMailStore;
let readings = 0;
beforeAll(async () => {
  under = await openPgStore();
  watched = createDatabase({ url: under.url, onQuery: ({ sql }) => (readings += sql.startsWith('copy (') ? 1 : 0) });
  store = new PgMailStore({ database: watched, tell: () => undefined });
});
afterAll(async () => {
  await store[Symbol.asyncDispose]();
  await watched[Symbol.asyncDispose]();
  await under[Symbol.asyncDispose]();
});

const mebi = 1024 * 1024;

async function contentsOf(account: TestAccount): Promise<readonly MessageContent[]> {
  const contents: MessageContent[] = [];
  for await (const batch of store.fetch(account.id, account.inboxId, everyUid, { content: true })) {
    contents.push(...batch.flatMap(({ content }) => content ?? []));
  }
  return contents;
}

test('of a message of 20 MB at most two readings of a MiB each lie in memory', async () => {
  const account = await TestAccount.create(under);
  const raw = letter('large', 'twenty MB of this\r\n'.repeat(1.1 * mebi));
  await account.append(1, { raw });
  const [content] = await contentsOf(account);
  readings = 0;
  const memory = new Set<ArrayBufferLike>();
  let most = 0;
  let at = 0;
  for await (const chunk of content?.read(0, raw.length) ?? []) {
    if (chunk.toString('latin1') !== raw.slice(at, (at += chunk.length))) throw new Error(`other bytes before ${at}`);
    memory.add(chunk.buffer);
    most = Math.max(most, readings * mebi - at);
  }
  expect(at).toBe(raw.length);
  expect([...memory].reduce((sum, { byteLength }) => sum + byteLength, 0)).toBeLessThanOrEqual(2 * mebi + 1024);
  // Those that are done; one more may be under way.
  expect(most).toBeLessThanOrEqual(2 * mebi);
});

test('of many messages some groups lie in memory, whichever way they are read', async () => {
  const account = await TestAccount.create(under);
  const raws = Array.from({ length: 300 }, (_, n) => letter(`no ${n}`, `message ${n}, 20 KB of it\r\n`.repeat(800)));
  for (const raw of raws) await account.deliver({ raw });
  const contents = await contentsOf(account);
  const memory = new Set<ArrayBufferLike>();
  let atHand = 0;
  for (const [n, content] of contents.entries()) {
    const now = content.atHand?.(0, content.rawSize) ?? null;
    if (now !== null) atHand += 1;
    const chunks = now === null ? content.read(0, content.rawSize) : [now];
    let text = '';
    for await (const chunk of chunks) {
      memory.add(chunk.buffer);
      text += chunk.toString('latin1');
    }
    expect(text).toBe(raws[n]);
  }
  expect(atHand).toBeGreaterThan(contents.length / 2);
  expect([...memory].reduce((sum, { byteLength }) => sum + byteLength, 0)).toBeLessThanOrEqual(3 * mebi);
});
