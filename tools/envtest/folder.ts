import os from 'node:os';
import path from 'node:path';

/** Where `make envtest` keeps its programs: outside the tree, one folder a version. `goMod` is tools/envtest/go.mod. */
export function envtestFolder(goMod: string, env: Readonly<Record<string, string | undefined>>): string {
  const version = /^\s*(?:require )?k8s\.io\/kubernetes (v\S+)/m.exec(goMod)?.[1];
  if (version === undefined) throw new Error('tools/envtest/go.mod requires no version of k8s.io/kubernetes');
  const cache = env['XDG_CACHE_HOME'] || path.join(os.homedir(), '.cache');
  return path.join(cache, 'postrider', 'envtest', version);
}
