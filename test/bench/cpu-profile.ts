/** Reads a V8 CPU profile: in which functions the time went. */

export type CpuProfile = {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
    readonly children?: readonly number[];
  }[];
  readonly samples?: readonly number[];
  /** Microseconds before each sample. */
  readonly timeDeltas?: readonly number[];
};

export type FunctionTime = {
  readonly name: string;
  /** Share of the time that was not idle, 0 to 1. */
  readonly self: number;
  /** Its own and that of what it called. */
  readonly total: number;
};

/** By self time, the longest first; and the share of the time that the process was busy. */
export function functionTimes(profile: CpuProfile): {
  readonly busy: number;
  readonly functions: readonly FunctionTime[];
} {
  const selfOfNode = new Map<number, number>();
  for (const [i, id] of (profile.samples ?? []).entries()) {
    selfOfNode.set(id, (selfOfNode.get(id) ?? 0) + (profile.timeDeltas?.[i] ?? 0));
  }
  const byId = new Map(profile.nodes.map((node) => [node.id, node]));
  const self = new Map<string, number>();
  const total = new Map<string, number>();
  let idle = 0;
  const add = (to: Map<string, number>, name: string, time: number): void =>
    void to.set(name, (to.get(name) ?? 0) + time);
  const visit = (id: number, above: readonly string[]): void => {
    const node = byId.get(id);
    if (!node) return;
    const name = nameOf(node.callFrame);
    const time = selfOfNode.get(id) ?? 0;
    // The second is the profiler itself, at the beginning and the end.
    if (name === '(idle)' || name.startsWith('post node:inspector')) {
      idle += time;
      return;
    }
    add(self, name, time);
    const path = above.includes(name) ? above : [...above, name];
    for (const one of path) add(total, one, time);
    for (const child of node.children ?? []) visit(child, path);
  };
  const root = profile.nodes[0];
  if (root) visit(root.id, []);
  const busy = [...self.values()].reduce((sum, time) => sum + time, 0);
  const share = (time: number): number => (busy === 0 ? 0 : time / busy);
  const functions = [...self].map(([name, time]) => ({ name, self: share(time), total: share(total.get(name) ?? 0) }));
  return { busy: busy + idle === 0 ? 0 : busy / (busy + idle), functions: functions.sort((a, b) => b.self - a.self) };
}

function nameOf({ functionName, url, lineNumber }: CpuProfile['nodes'][number]['callFrame']): string {
  const name = functionName === '' ? '(anonymous)' : functionName;
  if (url === '') return name;
  const file = url
    .replace(/^file:\/\//, '')
    .replace(/^.*\/node_modules\//, '')
    .split('/')
    .slice(-3)
    .join('/');
  return `${name} ${file}:${lineNumber + 1}`;
}
