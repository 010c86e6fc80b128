/**
 * Holds the imports against layers.json: a folder may import itself and the folders of its row, and no
 * file may take part in an import circle. Prints each fault with file and line; exit code 1 if there is any.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, existsSync } from 'node:fs';
import path from 'node:path';

type Import = { readonly from: string; readonly to: string; readonly line: number };

const aliases: readonly (readonly [prefix: string, folder: string])[] = [
  ['#shared/', 'shared/'],
  ['#server/', 'server/'],
  ['#operator/', 'operator/'],
];
const importPattern =
  /^(?:import|export)\b[^'"]*?from\s+['"]([^'"]+)['"]|^import\s+['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/gm;

const layers = JSON.parse(readFileSync('layers.json', 'utf8')) as Record<string, readonly string[]>;
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.ts'], {
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => file !== '' && existsSync(file));

function resolveImport(file: string, specifier: string): string | null {
  if (specifier.startsWith('.')) return path.posix.normalize(path.posix.join(path.posix.dirname(file), specifier));
  const alias = aliases.find(([prefix]) => specifier.startsWith(prefix));
  return alias ? alias[1] + specifier.slice(alias[0].length) : null;
}

function importsOf(file: string): readonly Import[] {
  const text = readFileSync(file, 'utf8');
  const found: Import[] = [];
  for (const match of text.matchAll(importPattern)) {
    const to = resolveImport(file, match[1] ?? match[2] ?? match[3] ?? '');
    if (to !== null) found.push({ from: file, to, line: text.slice(0, match.index).split('\n').length });
  }
  return found;
}

/** The longest row that the file lies under; null for files of the top folder. */
function layerOf(file: string): string | null {
  let folder = path.posix.dirname(file);
  while (folder !== '.') {
    if (folder in layers) return folder;
    folder = path.posix.dirname(folder);
  }
  return null;
}

function mayImport(layer: string, target: string): boolean {
  if (layer === target) return true;
  const row = layers[layer] ?? [];
  return row.some(
    (allowed) =>
      allowed === '*' || allowed === target || (allowed.endsWith('/*') && target.startsWith(allowed.slice(0, -1))),
  );
}

function layerFaults(imports: readonly Import[]): readonly string[] {
  const faults: string[] = [];
  for (const { from, to, line } of imports) {
    // A unit test may reach for anything; what it tests may not.
    if (from.endsWith('.test.ts')) continue;
    const layer = layerOf(from);
    const target = layerOf(to);
    if (!existsSync(to)) faults.push(`${from}:${line}: imports ${to}, which does not exist`);
    else if (layer === null && from.includes('/'))
      faults.push(`${from}: lies in no folder of layers.json; add a row for it`);
    else if (layer !== null && target !== null && !mayImport(layer, target)) {
      faults.push(`${from}:${line}: ${layer} may not import ${target} (layers.json)`);
    }
  }
  return faults;
}

/** Tarjan's strongly connected components; those of more than one file are circles. */
function circles(graph: ReadonlyMap<string, readonly string[]>): readonly (readonly string[])[] {
  const order = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const found: string[][] = [];
  const visit = (node: string): void => {
    order.set(node, order.size);
    low.set(node, order.get(node) ?? 0);
    stack.push(node);
    for (const next of graph.get(node) ?? []) {
      if (!order.has(next)) visit(next);
      if (stack.includes(next)) low.set(node, Math.min(low.get(node) ?? 0, low.get(next) ?? 0));
    }
    if (low.get(node) !== order.get(node)) return;
    const component = stack.splice(stack.indexOf(node));
    if (component.length > 1) found.push(component);
  };
  for (const node of graph.keys()) if (!order.has(node)) visit(node);
  return found;
}

const imports = files.flatMap(importsOf);
const graph = new Map(
  files.map((file) => [file, imports.filter((i) => i.from === file && i.to !== file).map((i) => i.to)]),
);
const faults = [...layerFaults(imports), ...circles(graph).map((circle) => `import circle: ${circle.join(' -> ')}`)];
for (const fault of faults) console.error(fault);
if (faults.length > 0) process.exitCode = 1;
else console.log(`layers: ${files.length} files, ${imports.length} imports, no fault, no circle`);
