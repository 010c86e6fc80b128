/** Where the API server is and who we are to it: from the pod, or from a kubeconfig file. */
import { readFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { ProgramFault } from '#shared/base/program-fault.ts';

export type KubeAccess = {
  /** `https://host:port`, with a path if there is one. */
  readonly server: string;
  /** PEM; null: the system's authorities. */
  readonly ca: string | null;
  /** PEM of a client certificate and its key; null when there is none. */
  readonly certificate: { readonly certificate: string; readonly privateKey: string } | null;
  /**
   * A bearer token, or the file that has it (read again as it is rotated), or who gives the Authorization header;
   * null: requests carry none.
   */
  readonly login:
    { readonly token: string } | { readonly tokenFile: string } | { readonly ask: () => Promise<string | null> } | null;
  readonly skipsVerification: boolean;
  /** Name that the server's certificate must have, when not that of `server`. */
  readonly serverName: string | null;
  /** The pod's namespace, or that of the kubeconfig's context. */
  readonly namespace: string;
};

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
