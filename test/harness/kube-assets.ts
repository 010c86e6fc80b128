/**
 * Where the programs of a Kubernetes API server are: the folder that KUBEBUILDER_ASSETS names, or the one that
 * `make envtest` fills.
 */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { envtestFolder } from '../../tools/envtest/folder.ts';

/** Null where they are not to be had. */
export function kubeAssets(): string | null {
  const given = process.env['KUBEBUILDER_ASSETS'];
  const folder = given || envtestFolder(readFileSync('tools/envtest/go.mod', 'utf8'), process.env);
  return ['etcd', 'kube-apiserver', 'kubectl'].every((name) => existsSync(path.join(folder, name))) ? folder : null;
}

export const missingKubeMessage =
  'NO KUBERNETES API SERVER: its tests are skipped. Run `make envtest` (needs Go), or set KUBEBUILDER_ASSETS';

/**
 * For `describe.skipIf(lacksKube())`; the test command says so in one line. With TEST_REQUIRE_KUBE set (CI does, unless
 * NO_KUBE=1) it is an error.
 */
export function lacksKube(): boolean {
  if (kubeAssets() !== null) return false;
  if (process.env['TEST_REQUIRE_KUBE']) throw new Error(missingKubeMessage);
  return true;
}
