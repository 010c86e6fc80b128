import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { afterEach, beforeEach, expect, test } from 'vitest';

const here = import.meta.dirname;
let root: string;

beforeEach(async () => {
  root = await mkdtemp(path.join(os.tmpdir(), 'postrider-image-'));
  await mkdir(path.join(root, 'cli'));
  await writeFile(path.join(root, 'package.json'), '{"type": "module"}');
  await writeFile(
    path.join(root, 'cli/one.ts'),
    'export type One = { readonly a: 1 };\nexport const one: One = { a: 1 };\n',
  );
  await writeFile(
    path.join(root, 'cli/main.ts'),
    "import { one, type One } from './one.ts';\nconst found: One = one;\nconsole.log(found.a, process.features.typescript);\nthrow new Error(`on line ${4 as number}`);\n",
  );
});
afterEach(() => rm(root, { recursive: true, force: true }));

const run = (...given: readonly string[]): string => {
  try {
    return execFileSync(process.execPath, given, { encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    const { stdout, stderr } = error as { readonly stdout: string; readonly stderr: string };
    return stdout + stderr;
  }
};

test('sources without types run as they are where Node strips none, and their lines are what they were', async () => {
  const hook = ['--import', path.join(here, 'plain-modules.js')];
  const main = path.join(root, 'cli/main.ts');
  expect(run(...hook, main)).toMatch(/SyntaxError/);
  run(path.join(here, 'strip-types.ts'), root, 'cli');
  expect(await readFile(path.join(root, 'cli/one.ts'), 'utf8')).not.toContain('type One');
  expect(run('--no-experimental-strip-types', ...hook, main)).toMatch(/^1 false\n[^]*main\.ts:4\b[^]*on line 4/);
  expect(run(main)).toMatch(/^1 strip\n[^]*on line 4/);
});
