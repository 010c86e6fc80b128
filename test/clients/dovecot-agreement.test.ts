import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { corpusMessages } from '../corpus/corpus.ts';
import { Dovecot } from '../harness/dovecot.ts';
import { lacks } from '../harness/programs.ts';
import { expectedDifferences } from './dovecot-agreement-expected.ts';
import { differences } from './dovecot-agreement.ts';

const programs = ['/usr/sbin/dovecot', 'python3', '/usr/lib/python3.11/test/test_email/data'] as const;

describe.skipIf(lacks(...programs))('our view of a message and Dovecot’s', () => {
  test('ENVELOPE, BODY, BODYSTRUCTURE, RFC822.SIZE and all sections are equal but for the quirks', async () => {
    const corpus = await corpusMessages();
    expect(corpus.filter(({ name }) => name.startsWith('python/')).length).toBeGreaterThan(200);
    expect(new Set(corpus.map(({ name }) => name)).size).toBe(corpus.length);

    await using dovecot = await Dovecot.start();
    const session = await dovecot.connect();
    for (const { bytes } of corpus) await session.append('INBOX', bytes);
    await session.command('SELECT INBOX');
    const found: Record<string, readonly string[]> = {};
    for (const [index, { name, bytes }] of corpus.entries()) {
      const items = (await differences(session, index + 1, bytes)).map(({ item }) => item.replace(/ \(.*\)/, ''));
      if (items.length > 0) found[name] = items;
    }
    expect(found).toEqual(Object.assign({}, ...Object.values(expectedDifferences)));
  }, 120_000);

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
