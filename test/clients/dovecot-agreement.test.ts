import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import type { CorpusMessage } from '../corpus/corpus-message.ts';
import { corpusMessages } from '../corpus/corpus.ts';
import { Dovecot } from '../harness/dovecot.ts';
import { imapSessionOverTls, type ImapSession } from '../harness/imap-session.ts';
import { parseFetch } from '../harness/imap-values.ts';
import { lacks } from '../harness/programs.ts';
import { startService, users } from '../harness/service.ts';
import { expectedDifferences } from './dovecot-agreement-expected.ts';
import { differences } from './dovecot-agreement.ts';

const programs = ['/usr/sbin/dovecot', 'python3', '/usr/lib/python3.11/test/test_email/data'] as const;

const expected = Object.assign({}, ...Object.values(expectedDifferences)) as Record<string, readonly string[]>;

async function fill(session: ImapSession, corpus: readonly CorpusMessage[]): Promise<void> {
  for (const { bytes } of corpus) await session.append('INBOX', bytes);
  await session.command('SELECT INBOX');
}

/** The items that differ, by the message's name. */
async function found(corpus: readonly CorpusMessage[], dovecot: ImapSession, ours?: ImapSession) {
  const items: Record<string, readonly string[]> = {};
  for (const [index, { name, bytes }] of corpus.entries()) {
    const differing = await differences(dovecot, index + 1, bytes, ours);
    if (differing.length > 0) items[name] = differing.map(({ item }) => item.replace(/ \(.*\)/, ''));
  }
  return items;
}

describe.skipIf(lacks(...programs))('our view of a message and Dovecot’s', () => {
  test('ENVELOPE, BODY, BODYSTRUCTURE, RFC822.SIZE and all sections are equal but for the quirks', async () => {
    const corpus = await corpusMessages();
    expect(corpus.filter(({ name }) => name.startsWith('python/')).length).toBeGreaterThan(200);
    expect(new Set(corpus.map(({ name }) => name)).size).toBe(corpus.length);

    await using dovecot = await Dovecot.start();
    const session = await dovecot.connect();
    await fill(session, corpus);
    expect(await found(corpus, session)).toEqual(expected);
  }, 120_000);

  test('the running server agrees too, and gives back every message byte for byte', async () => {
    const corpus = await corpusMessages();
    await using dovecot = await Dovecot.start();
    const theirs = await dovecot.connect();
    await using service = await startService();
    await using ours = await imapSessionOverTls(service, users.alice);
    await fill(theirs, corpus);
    await fill(ours, corpus);
    for (const [index, { name, bytes }] of corpus.entries()) {
      const [response] = await ours.command(`FETCH ${index + 1} BODY.PEEK[]`);
      const body = parseFetch(response ?? '').get('BODY[]');
      expect(Buffer.from(body as string, 'latin1').equals(bytes), name).toBe(true);
    }
    expect(await found(corpus, theirs, ours)).toEqual(expected);
  }, 240_000);

  test('every quirk is explained', async () => {
    const quirks = await readFile('docs/quirks.md', 'utf8');
    const section = quirks.split(/^## /m).find((text) => text.startsWith('Messages: Postrider and Dovecot')) ?? '';
    const explained = [...section.matchAll(/^### `([\w-]+)`/gm)].map(([, quirk]) => quirk);
    expect(explained).toEqual(Object.keys(expectedDifferences));
    for (const messages of Object.values(expectedDifferences)) {
      for (const name of Object.keys(messages)) expect(section).toContain(`\`${name}\``);
    }
  });
});
