/** Merging of fields, and who owns which: the part of server-side apply that the stand-in has. */

export type Fields = { readonly [field: string]: unknown };
/** By manager, the paths of the leaves that it applied last. */
export type FieldOwners = ReadonlyMap<string, ReadonlySet<string>>;

/** JSON merge patch (RFC 7396). */
export function mergePatch(target: Fields, patch: Fields): Fields {
  const merged: Record<string, unknown> = { ...target };
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete merged[name];
    else merged[name] = isFields(value) ? mergePatch(asFields(merged[name]), value) : value;
  }
  return merged;
}

/**
 * `given` is all that `manager` wants: what it had applied before and does not any more, and nobody else did, goes.
 * `conflict` is a path that another manager has with another value, where `isForced` is false.
 */
export function applyFields(
  before: Fields,
  owners: FieldOwners,
  manager: string,
  given: Fields,
  isForced: boolean,
): { readonly fields: Fields; readonly owners: FieldOwners; readonly conflict: string | null } {
  const leaves = new Map(leavesOf(toMaps(given), ''));
  const present = new Map(leavesOf(toMaps(before), ''));
  const others = [...owners].filter(([name]) => name !== manager);
  const differs = (path: string): boolean => JSON.stringify(present.get(path)) !== JSON.stringify(leaves.get(path));
  const taken = [...leaves.keys()].filter((path) => differs(path) && others.some(([, paths]) => paths.has(path)));
  if (taken[0] !== undefined && !isForced) return { fields: before, owners, conflict: taken[0] };

  const dropped = [...(owners.get(manager) ?? [])].filter(
    (path) => !leaves.has(path) && !others.some(([, paths]) => paths.has(path)),
  );
  for (const path of dropped) present.delete(path);
  for (const [path, value] of leaves) present.set(path, value);
  const left = others.map(([name, paths]) => [name, paths.difference(new Set(taken))] as const);
  return {
    fields: fromLeaves(present),
    owners: new Map([...left, [manager, new Set(leaves.keys())]]),
    conflict: null,
  };
}

/** Marks a map that stands for a list whose items are told apart by `type`, as conditions are. */
const listMark = 'type=';

/** Lists of items with a `type` become maps, so that each item has an owner of its own. */
function toMaps(value: unknown): unknown {
  if (Array.isArray(value) && value.length > 0 && value.every((item) => isFields(item) && 'type' in item)) {
    return Object.fromEntries(value.map((item: Fields) => [`${listMark}${String(item['type'])}`, toMaps(item)]));
  }
  if (!isFields(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, toMaps(inner)]));
}

function* leavesOf(value: unknown, path: string): Iterable<[string, unknown]> {
  if (!isFields(value)) {
    // An empty list of such items sets nothing.
    if (!(Array.isArray(value) && value.length === 0)) yield [path, value];
    return;
  }
  for (const [name, inner] of Object.entries(value)) yield* leavesOf(inner, `${path}\n${name}`);
}

type Tree = Map<string, unknown>;

function fromLeaves(leaves: ReadonlyMap<string, unknown>): Fields {
  const root: Tree = new Map();
  for (const [path, value] of leaves) {
    const names = path.split('\n').slice(1);
    const last = names.pop() ?? '';
    let at = root;
    for (const name of names) {
      const next = at.get(name);
      if (next instanceof Map) at = next as Tree;
      else at.set(name, (at = new Map<string, unknown>()));
    }
    at.set(last, value);
  }
  return plain(root) as Fields;
}

function plain(value: unknown): unknown {
  if (!(value instanceof Map)) return value;
  const entries = [...(value as Tree)].map(([name, inner]) => [name, plain(inner)] as const);
  if (entries.every(([name]) => name.startsWith(listMark))) return entries.map(([, inner]) => inner);
  return Object.fromEntries(entries);
}

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const asFields = (value: unknown): Fields => (isFields(value) ? value : {});
