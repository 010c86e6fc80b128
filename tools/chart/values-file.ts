/** The chart's values.yaml as a list: each value with the comment that describes it. */
import { isMap, isScalar, parseDocument, type Pair, type YAMLMap } from 'yaml';

export type ChartValue = {
  readonly path: readonly string[];
  /** What its comment says after `--`. */
  readonly help: string;
  /** As in the file. */
  readonly standard: unknown;
};

/** Every value that has a comment `# -- …` above it, in order. Error: a value that has none, and no values below it. */
export function readValues(text: string): readonly ChartValue[] {
  const { contents } = parseDocument(text);
  if (!isMap(contents)) throw new Error('values.yaml is no map');
  return valuesOf(contents, []);
}

function valuesOf(map: YAMLMap, above: readonly string[]): readonly ChartValue[] {
  return map.items.flatMap((pair, i) => {
    const name = String(isScalar(pair.key) ? pair.key.value : pair.key);
    const path = [...above, name];
    const help = helpOf(pair, i === 0 ? map.commentBefore : undefined);
    if (help !== null) return [{ path, help, standard: plain(pair.value) }];
    if (isMap(pair.value)) return valuesOf(pair.value, path);
    throw new Error(`values.yaml: ${path.join('.')} has no description`);
  });
}

/** The comment above a map's first key is kept with the map. */
function helpOf({ key }: Pair, ofMap: string | null | undefined): string | null {
  const comment = (isScalar(key) ? key.commentBefore : null) ?? ofMap ?? '';
  const paragraph = comment.split(/\n\s*\n/).at(-1) ?? '';
  return /^ ?-- ([\s\S]+)$/.exec(paragraph)?.[1]?.replaceAll(/\s+/g, ' ') ?? null;
}

function plain(node: unknown): unknown {
  return node !== null && typeof node === 'object' && 'toJSON' in node
    ? (node as { toJSON(): unknown }).toJSON()
    : null;
}
