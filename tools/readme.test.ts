import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const read = (file: string) => readFileSync(new URL(`../${file}`, import.meta.url), 'utf8');

test('the two commands of the README are those of the Makefile, and CI runs the tests by them', () => {
  const block = /## Two commands[\s\S]*?```sh\n([\s\S]*?)```/.exec(read('README.md'))?.[1] ?? '';
  const targets = [...block.matchAll(/^make (\w+)/gm)].map((match) => match[1]);
  expect(targets).toEqual(['run', 'test']);
  for (const target of targets) expect(read('Makefile')).toMatch(new RegExp(`^${target}:.*##`, 'm'));
  expect(read('.ci/run')).toMatch(/^make test$/m);
});

test('every document and folder that the README names is there', () => {
  const links = [...read('README.md').matchAll(/\]\(([\w./-]+)\)/g)].map((match) => match[1] ?? '');
  expect(links.length).toBeGreaterThan(5);
  for (const link of links.filter((name) => !name.endsWith('/'))) expect(read(link).length).toBeGreaterThan(0);
});
