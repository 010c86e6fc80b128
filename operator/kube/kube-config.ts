/** Where the API server is and who we are to it: from the pod, or from a kubeconfig file. */
import { readFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { ProgramFault } from '#shared/base/program-fault.ts';
import type { KubeAccess } from './kube-access.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

const serviceAccountFolder = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * From the file that `KUBECONFIG` names, else in a pod from its service account, else from `~/.kube/config`.
 * Throws a ProgramFault where there is none of them, or where it cannot be used.
 */
export async function loadKubeAccess(env: Environment): Promise<KubeAccess> {
  const file = env['KUBECONFIG'];
  if (!file && env['KUBERNETES_SERVICE_HOST']) return await readServiceAccount(env, serviceAccountFolder);
  // Only here: it brings the client library, which takes 80 MB of memory and a second.
  const { readKubeconfig } = await import('./kubeconfig-file.ts');
  return await readKubeconfig(file || path.join(os.homedir(), '.kube', 'config'));
}

/** From the files that the kubelet mounts into `folder`, and the variables that it sets. */
export async function readServiceAccount(env: Environment, folder: string): Promise<KubeAccess> {
  const host = env['KUBERNETES_SERVICE_HOST'] ?? '';
  const port = env['KUBERNETES_SERVICE_PORT'] ?? '443';
  const read = async (name: string): Promise<string> => {
    try {
      return (await readFile(path.join(folder, name), 'utf8')).trim();
    } catch (cause) {
      throw new ProgramFault(
        78,
        `The pod has no ${path.join(folder, name)}.`,
        'Mount its service account: automountServiceAccountToken: true.',
        { cause },
      );
    }
  };
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    ca: await read('ca.crt'),
    certificate: null,
    login: { tokenFile: path.join(folder, 'token') },
    skipsVerification: false,
    serverName: null,
    namespace: await read('namespace'),
  };
}
