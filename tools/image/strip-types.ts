/**
 * In an image's build stage: replaces the types in the sources with blanks, so that plain-modules.js can hand them to
 * Node as they are. Lines and columns stay what they were. The files are TypeScript still: without that hook they run
 * all the same.
 *
 *     node tools/image/strip-types.ts ROOT FOLDER…
 */
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import path from 'node:path';
import process from 'node:process';

const [root = '.', ...folders] = process.argv.slice(2);
const files = folders.flatMap((folder) => globSync(`${folder}/**/*.ts`, { cwd: root }));
for (const file of files) {
  const at = path.join(root, file);
  writeFileSync(at, stripTypeScriptTypes(readFileSync(at, 'utf8')));
}
console.log(`types are taken out of ${files.length} files`);
