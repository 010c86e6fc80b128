import os from 'node:os';
import path from 'node:path';

type Environment = Readonly<Record<string, string | undefined>>;

/** Where `make envtest` keeps its programs: outside the tree, one folder a version. `goMod` is tools/envtest/go.mod. */
export function envtestFolder(goMod: string, env: Environment): string {
  return versionFolder('envtest', /^\s*(?:require )?k8s\.io\/kubernetes (v\S+)/m.exec(goMod)?.[1], env);
}

/** Where it keeps pebble. `goMod` is tools/pebble/go.mod. */
export function pebbleFolder(goMod: string, env: Environment): string {
  return versionFolder('pebble', /^\s*(?:require )?github\.com\/letsencrypt\/pebble\/v2 (v\S+)/m.exec(goMod)?.[1], env);
}

function versionFolder(name: string, version: string | undefined, env: Environment): string {
  if (version === undefined) throw new Error(`tools/${name}/go.mod does not require what it is for`);
  return path.join(env['XDG_CACHE_HOME'] || path.join(os.homedir(), '.cache'), 'postrider', name, version);
}
