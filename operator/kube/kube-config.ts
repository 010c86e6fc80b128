/** Where the API server is and who we are to it: from the pod, or from a kubeconfig file. */
import { readFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { parse } from 'yaml';
import { ProgramFault } from '#shared/base/program-fault.ts';

export type KubeAccess = {
  /** `https://host:port`, with a path if there is one. */
  readonly server: string;
  /** PEM; null: the system's authorities. */
  readonly ca: string | null;
  /** PEM of a client certificate and its key; null when there is none. */
  readonly certificate: { readonly certificate: string; readonly privateKey: string } | null;
  /** A bearer token, or the file that has it: it is read again as it is rotated. */
  readonly token: { readonly text: string } | { readonly file: string } | null;
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
 * Throws a ProgramFault where there is none of them, or where the file uses what is not known here.
 */
export async function loadKubeAccess(env: Environment): Promise<KubeAccess> {
  const file = env['KUBECONFIG'];
  if (file !== undefined && file !== '') return await readKubeconfig(file);
  if (env['KUBERNETES_SERVICE_HOST']) return await readServiceAccount(env, serviceAccountFolder);
  const home = path.join(os.homedir(), '.kube', 'config');
  return await readKubeconfig(home);
}

/** The files that the kubelet mounts, and the variables that it sets. */
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
    token: { file: path.join(folder, 'token') },
    skipsVerification: false,
    serverName: null,
    namespace: await read('namespace'),
  };
}

type Kubeconfig = {
  readonly 'current-context'?: string;
  readonly contexts?: readonly { readonly name: string; readonly context: Context }[] | null;
  readonly clusters?: readonly { readonly name: string; readonly cluster: Cluster }[] | null;
  readonly users?: readonly { readonly name: string; readonly user: User | null }[] | null;
};
type Context = { readonly cluster: string; readonly user?: string; readonly namespace?: string };
type Cluster = Readonly<Record<string, string | boolean | undefined>>;
type User = Readonly<Record<string, unknown>>;

/** Ways to log in and to connect that are not known here; silence would end in a 401 that nobody understands. */
const unknownUserFields = ['exec', 'auth-provider', 'username', 'password', 'as', 'as-groups', 'as-uid'];

async function readKubeconfig(file: string): Promise<KubeAccess> {
  const config = await parseKubeconfig(file);
  const fault = (message: string, hint = 'Correct the file, or name another with KUBECONFIG.'): ProgramFault =>
    new ProgramFault(78, `${file}: ${message}.`, hint);
  const current = config['current-context'] ?? '';
  const context = config.contexts?.find(({ name }) => name === current)?.context;
  if (context === undefined) throw fault(`there is no context "${current}" (current-context)`);
  const cluster = config.clusters?.find(({ name }) => name === context.cluster)?.cluster;
  if (cluster === undefined) throw fault(`there is no cluster "${context.cluster}"`);
  const user = config.users?.find(({ name }) => name === context.user)?.user ?? {};

  const unknown = unknownUserFields.find((field) => field in user);
  if (unknown !== undefined) {
    throw fault(`user "${context.user}" logs in with ${unknown}`, 'Use a client certificate, token or tokenFile.');
  }
  if (cluster['proxy-url']) throw fault(`cluster "${context.cluster}" has a proxy-url, which is not used here`);

  const text = (fields: Readonly<Record<string, unknown>>, name: string): string | null => {
    const value = fields[name];
    return typeof value === 'string' && value !== '' ? value : null;
  };
  /** A field with base64 in it (`NAME-data`), or else a file beside the kubeconfig. */
  const material = async (fields: Readonly<Record<string, unknown>>, name: string): Promise<string | null> => {
    const inline = text(fields, `${name}-data`);
    if (inline !== null) return Buffer.from(inline, 'base64').toString('utf8');
    const at = text(fields, name);
    return at === null ? null : await readFile(path.resolve(path.dirname(file), at), 'utf8');
  };
  const certificate = await material(user, 'client-certificate');
  const privateKey = await material(user, 'client-key');
  const token = text(user, 'token');
  const tokenFile = text(user, 'tokenFile');
  const inlineToken = token === null ? null : { text: token };
  const server = text(cluster, 'server');
  if (server === null) throw fault(`cluster "${context.cluster}" has no server`);
  return {
    server: server.replace(/\/+$/, ''),
    ca: await material(cluster, 'certificate-authority'),
    certificate: certificate !== null && privateKey !== null ? { certificate, privateKey } : null,
    token: tokenFile === null ? inlineToken : { file: path.resolve(path.dirname(file), tokenFile) },
    skipsVerification: cluster['insecure-skip-tls-verify'] === true,
    serverName: text(cluster, 'tls-server-name'),
    namespace: context.namespace ?? 'default',
  };
}

async function parseKubeconfig(file: string): Promise<Kubeconfig> {
  if (file.includes(path.delimiter)) throw new ProgramFault(78, `KUBECONFIG=${file} names several files.`, 'Name one.');
  try {
    return (parse(await readFile(file, 'utf8')) ?? {}) as Kubeconfig;
  } catch (cause) {
    throw new ProgramFault(
      78,
      `No way to a Kubernetes API server: ${file} cannot be read (${(cause as Error).message}).`,
      'In a pod its service account is used; elsewhere set KUBECONFIG.',
      { cause },
    );
  }
}
