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

/** For `describe.skipIf(lacksKube())`: says once, loudly, that tests are skipped. With TEST_REQUIRE_KUBE it throws. */
export function lacksKube(): boolean {
  if (kubeAssets() !== null) return false;
  const message = 'NO KUBERNETES API SERVER: its tests are skipped. Run `make envtest`, or set KUBEBUILDER_ASSETS';
  if (process.env['TEST_REQUIRE_KUBE']) throw new Error(message);
  console.warn(message);
  return true;
}
