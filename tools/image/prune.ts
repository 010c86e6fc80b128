/**
 * In an image's build stage: removes the packages that the source folders do not need, and from the others what no
 * program reads. Then the folder must be no larger than the limit, else the build fails.
 *
 *     node tools/image/prune.ts ROOT MAX_MB FOLDER…
 */
import { readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { folderBytes, installedPackages, isUnread, packagesOf } from './packages.ts';

const [root = '.', maxMegabytes = '70', ...folders] = process.argv.slice(2);
const needed = [...packagesOf(path.resolve(root), folders)];

for (const folder of installedPackages(root)) {
  const isNeeded = needed.some(
    (one) => one === folder || one.startsWith(`${folder}${path.sep}node_modules${path.sep}`),
  );
  if (!isNeeded) rmSync(path.join(root, folder), { recursive: true, force: true });
}
for (const name of ['.bin', '.package-lock.json']) {
  rmSync(path.join(root, 'node_modules', name), { recursive: true, force: true });
}
for (const entry of readdirSync(path.join(root, 'node_modules'), { withFileTypes: true, recursive: true })) {
  if (entry.isFile() && isUnread(entry.name)) rmSync(path.join(entry.parentPath, entry.name));
}

const megabytes = folderBytes(root) / 1e6;
console.log(`${needed.length} packages, ${megabytes.toFixed(1)} MB`);
if (megabytes > Number(maxMegabytes)) {
  console.error(`that is more than the ${maxMegabytes} MB that an image may add to its base`);
  process.exitCode = 1;
}
