import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { MemoryMailStore } from '#server/store/memory-mail-store.ts';
import { openPgStore } from '../contracts/pg-store.ts';
import type { StoreUnderTest } from '../contracts/store-under-test.ts';
import { parseTranscript, runTranscript } from './transcript.ts';

const folder = new URL('.', import.meta.url);
const transcripts = readdirSync(folder)
  .filter((name) => name.endsWith('.txt'))
  .sort()
  .map((name) => {
    const transcript = parseTranscript(readFileSync(new URL(name, folder), 'utf8'));
    return { name, title: transcript.title, transcript };
  });

describe.each([
  { place: 'in memory', open: openMemoryStore },
  { place: 'in Postgres', open: openPgStore },
])('$place', ({ open }) => {
  let backend: StoreUnderTest;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => backend[Symbol.asyncDispose]());

  // Each has an account of its own.
  test.each(transcripts)('$name: $title', ({ transcript }) => runTranscript(transcript, backend));
});

function openMemoryStore(): Promise<StoreUnderTest> {
  const store = new MemoryMailStore();
  return Promise.resolve({
    store,
    feed: store.feed,
    createAccount: ({ limitBytes }) => Promise.resolve(store.createAccount(limitBytes)),
    countBlobs: () => Promise.resolve(store.blobCount),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
}
