/**
 * Which npm packages a set of source folders needs at run time, and what of them a program reads: what an image
 * takes along. Node runs no TypeScript below node_modules, so declarations and sources of packages are never read.
 */
import { existsSync, globSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { builtinModules } from 'node:module';
import path from 'node:path';

const importPattern = /\bfrom\s+['"]([^'"]+)['"]|^\s*import\s+['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm;
const unread = /\.(?:[cm]?ts|map|md|markdown|flow|tsbuildinfo)$/i;
const kept = /^(?:licen[cs]e|notice|copying)/i;

type PackageFile = Readonly<Record<'dependencies' | 'optionalDependencies' | 'peerDependencies', object | undefined>>;

/** Folders below `root` of the packages that non-test sources in `folders` import, and of all that those depend on. */
export function packagesOf(root: string, folders: readonly string[]): ReadonlySet<string> {
  const found = new Set<string>();
  const waiting = importedNames(root, folders).map((name) => ({ name, from: root, isOptional: false }));
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const folder = findPackage(next.name, next.from, root);
    if (folder === null) {
      if (next.isOptional) continue;
      throw new Error(`${next.name}, which ${path.relative(root, next.from) || 'the source'} needs, is not installed`);
    }
    if (found.has(folder)) continue;
    found.add(folder);
    const file = JSON.parse(readFileSync(path.join(root, folder, 'package.json'), 'utf8')) as PackageFile;
    const from = path.join(root, folder);
    // npm lists optional dependencies among the others too.
    const optional = new Set(Object.keys({ ...file.optionalDependencies, ...file.peerDependencies }));
    const all = Object.keys({ ...file.dependencies, ...file.optionalDependencies, ...file.peerDependencies });
    // Some name packages of declarations as what they need; a program reads none of them.
    const needed = all.filter((name) => !name.startsWith('@types/'));
    waiting.push(...needed.map((name) => ({ name, from, isOptional: optional.has(name) })));
  }
  return found;
}

/** Every package below `root`/node_modules, nested ones too, as folders below `root`. */
export function installedPackages(root: string, folder = 'node_modules'): readonly string[] {
  return readdirSync(path.join(root, folder), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
    .flatMap(({ name }) =>
      name.startsWith('@')
        ? readdirSync(path.join(root, folder, name)).map((inner) => path.join(folder, name, inner))
        : [path.join(folder, name)],
    )
    .flatMap((one) => {
      const nested = path.join(one, 'node_modules');
      return existsSync(path.join(root, nested)) ? [one].concat(installedPackages(root, nested)) : one;
    });
}

/** Whether a program never reads this file of a package. */
export function isUnread(file: string): boolean {
  return unread.test(file) && !kept.test(path.basename(file));
}

/** Bytes of all files in a folder; `without` leaves some out. */
export function folderBytes(folder: string, without: (file: string) => boolean = () => false): number {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && !without(entry.name))
    .reduce((sum, entry) => sum + statSync(path.join(entry.parentPath, entry.name)).size, 0);
}

function importedNames(root: string, folders: readonly string[]): readonly string[] {
  const files = folders.flatMap((folder) => globSync(`${folder}/**/*.ts`, { cwd: root }));
  const names = files
    .filter((file) => !file.endsWith('.test.ts'))
    .flatMap((file) =>
      Array.from(withoutTypeImports(readFileSync(path.join(root, file), 'utf8')).matchAll(importPattern)),
    )
    .map((match) => match[1] ?? match[2] ?? match[3] ?? '')
    .filter((specifier) => !/^(?:\.|#|node:)/.test(specifier) && !builtinModules.includes(specifier))
    .map((specifier) => specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/'));
  return [...new Set(names)].sort();
}

/** Type imports are gone when the program runs. */
function withoutTypeImports(source: string): string {
  return source.replaceAll(/^\s*(?:import|export) type\b[^;]*;/gm, '');
}

/** As Node finds it: beside the one who asks, then further up. */
function findPackage(name: string, from: string, root: string): string | null {
  for (let folder = from; ; folder = path.dirname(folder)) {
    const candidate = path.join(folder, 'node_modules', name);
    if (existsSync(path.join(candidate, 'package.json'))) return path.relative(root, candidate);
    if (folder === root) return null;
  }
}
