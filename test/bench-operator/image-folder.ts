/** What the operator's image has, in a folder: sources without types, so that memory and start are those of a pod. */
import { execFileSync } from 'node:child_process';
import { cp, symlink } from 'node:fs/promises';
import path from 'node:path';
import process from 'node:process';

const root = path.resolve(import.meta.dirname, '../..');

export type ImageProgram = { readonly program: string; readonly nodeOptions: readonly string[] };

/** Fills the folder, which is there. */
export async function makeImageFolder(folder: string): Promise<ImageProgram> {
  for (const name of ['operator', 'shared', 'package.json']) {
    await cp(path.join(root, name), path.join(folder, name), { recursive: true });
  }
  await cp(path.join(import.meta.dirname, 'pod-operator.ts'), path.join(folder, 'bench/pod-operator.ts'));
  await cp(path.join(root, 'tools/image/plain-modules.js'), path.join(folder, 'plain-modules.js'));
  await symlink(path.join(root, 'node_modules'), path.join(folder, 'node_modules'));
  const strip = path.join(root, 'tools/image/strip-types.ts');
  execFileSync(process.execPath, [strip, folder, 'operator', 'shared', 'bench'], { stdio: 'ignore' });
  return {
    program: path.join(folder, 'bench/pod-operator.ts'),
    nodeOptions: ['--import', path.join(folder, 'plain-modules.js')],
  };
}
