/** What administrators see is in docs/, as it is in the code, and every line of it has a test. */
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { replyRules } from '#server/bounce/reply-rule-table.ts';

const root = path.resolve(import.meta.dirname, '../..');
const read = (file: string): string => readFileSync(path.join(root, file), 'utf8');
const sources = (pattern: string): readonly string[] =>
  globSync(pattern, { cwd: root })
    .toSorted()
    .filter((file) => !file.endsWith(path.relative(root, import.meta.filename)));

/** Cells of the tables whose first column has this title. */
function rowsOf(page: string, title: string): readonly (readonly string[])[] {
  let isTable = false;
  return page.split('\n').flatMap((line) => {
    if (!line.startsWith('|')) isTable = false;
    const cells = line.split(/(?<!\\)\|/).map((cell) => cell.trim());
    if (cells[1] === title) isTable = true;
    return isTable && cells[1] !== title && !/^-+$/.test(cells[1] ?? '') ? [cells.slice(1, -1)] : [];
  });
}

const quoted = (text: string): readonly string[] => [...text.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? '');
/** "…" stands for anything. */
const asPattern = (text: string): RegExp =>
  new RegExp(
    `^${text
      .split('…')
      .map((piece) => RegExp.escape(piece))
      .join('.*')}$`,
  );
const fits = (a: string, b: string): boolean =>
  asPattern(a).test(b.replaceAll('…', 'X')) || asPattern(b).test(a.replaceAll('…', 'X'));

const failures = read('docs/outbound-failures.md');
const told = rowsOf(failures, 'seen')
  .flatMap(([seen = '']) => quoted(seen))
  .filter((text) => text !== 'isUncertain');

/** Sentences in the code, with "…" for what is put in. */
const sentence = /(['"`])((?:(?!\1)[^\n\\])+)\1/g;
function sentencesOf(file: string): readonly string[] {
  const code = read(file).replaceAll(/\/\*\*?[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
  return [...code.matchAll(sentence)]
    .map((match) => (match[2] ?? '').replaceAll(/\$\{[^}]*\}/g, '…'))
    .filter((text) => /^[a-z… ][\w… ',;:()’-]+$/.test(text) && text.split(' ').length > 2);
}

/** Nobody sees them: bugs, words inside of others, what comes before a sentence, and what is given back without an attempt. */
const unseen = new Set([
  ' : ',
  'a message could not be read',
  'a password would be sent without TLS',
  'a recipient without an outcome',
  'a request would be a message',
  'an address in the queue is none',
  'capture is no target among others',
  'it has no address',
  'it wants a login that we do not have',
  'no host was tried, and none failed',
  'not allowed by its rules',
  'address type not supported',
  'command not supported',
  'refused at …: …',
  'stopped before anything was sent',
  'the TLS handshake failed',
  'the MTA-STS policy of a domain could not be fetched',
  'the lease ran out',
  'the peer closes the connection',
  'the peer said nothing',
  '… http …',
  'where mail goes depends on its recipients',
  'wrong user or password',
]);

test('every failure that the transport tells is in docs/outbound-failures.md', () => {
  const files = [...sources('server/transport/*.ts'), 'shared/dns/answer.ts'].filter(
    (file) => !file.endsWith('.test.ts'),
  );
  // A sentence of the page may hold one of the code, as the reason of a failed look-up.
  const isTold = (text: string): boolean =>
    told.some((each) => fits(each, text) || each.endsWith(text) || fits(`… ${text}`, each));
  const missing = files.flatMap((file) =>
    sentencesOf(file)
      .filter((text) => !unseen.has(text) && !isTold(text) && !failures.includes(`\`${text}\``))
      .map((text) => `${file}: ${text}`),
  );
  expect(missing).toEqual([]);
});

test('every failure in docs/outbound-failures.md has a test', () => {
  const tests = [...sources('test/outbound/*.test.ts'), ...sources('shared/dns/*.test.ts')]
    .map(read)
    .join('\n')
    .replaceAll(/\\(.)/g, '$1');
  const untested = told.filter((text) => {
    const longest = text
      .split('…')
      .reduce((best, piece) => (piece.trim().length > best.length ? piece.trim() : best), '');
    return !tests.includes(longest);
  });
  expect(untested).toEqual([]);
});

test('every category of replies, with its action, is in docs/outbound-replies.md, and there are no others', () => {
  const rows = rowsOf(read('docs/outbound-replies.md'), 'category');
  const documented = rows.map(([category = '', , action = '']) => [quoted(category)[0], quoted(action)] as const);
  const inCode = Map.groupBy(replyRules, ({ category }) => category);
  for (const [category, rules] of inCode) {
    const [, actions = []] = documented.find(([name]) => name === category) ?? [];
    expect([category, ...rules.map(({ action }) => action).filter((action) => !actions.includes(action))]).toEqual([
      category,
    ]);
  }
  expect(documented.map(([category = '']) => category).toSorted()).toEqual([...inCode.keys(), 'other'].toSorted());
});

test('every category and action of replies has a test', () => {
  const tests = read('server/bounce/reply-rules.test.ts');
  const untested = replyRules
    .map(({ action, category }) => `'${action}', '${category}'`)
    .filter((words) => !tests.replaceAll(/\s+/g, ' ').includes(words));
  expect([...new Set(untested)]).toEqual([]);
});
