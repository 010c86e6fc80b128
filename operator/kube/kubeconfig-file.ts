/**
 * A kubeconfig file, read by the client library, which knows every way to log in (certificates, tokens, programs,
 * OpenID Connect). Nothing else of the library is used: docs/adr/0013-kubernetes-client.md says why.
 */
import type https from 'node:https';
import path from 'node:path';
import { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import { ProgramFault } from '#shared/base/program-fault.ts';
import type { KubeAccess } from './kube-access.ts';

/** `file` as `KUBECONFIG` names it: the current context of one file. Throws a ProgramFault where it cannot be used. */
export async function readKubeconfig(file: string): Promise<KubeAccess> {
  const fault = (message: string, cause?: unknown): ProgramFault =>
    new ProgramFault(
      78,
      `${file}: ${message}.`,
      'In a pod its service account is used; elsewhere KUBECONFIG must name a file whose current context is usable.',
      { cause },
    );
  if (file.includes(path.delimiter)) throw fault('several files are named');
  const config = new KubeConfig();
  try {
    config.loadFromFile(file);
  } catch (error) {
    throw fault((error as Error).message, error);
  }
  const cluster = config.getCurrentCluster();
  if (!cluster) throw fault(`the current context ("${config.getCurrentContext()}") names no cluster that is there`);
  if (cluster.proxyUrl) throw fault(`cluster "${cluster.name}" has a proxy-url, which is not used here`);

  const ask = async (): Promise<https.RequestOptions> => {
    const options: https.RequestOptions = {};
    await config.applyToHTTPSOptions(options);
    return options;
  };
  let options: https.RequestOptions;
  try {
    options = await ask();
  } catch (error) {
    throw fault(`user "${config.getCurrentUser()?.name}" cannot log in (${(error as Error).message})`, error);
  }
  const certificate = textOf(options.cert);
  const privateKey = textOf(options.key);
  return {
    server: cluster.server.replace(/\/+$/, ''),
    ca: textOf(options.ca),
    certificate: certificate !== null && privateKey !== null ? { certificate, privateKey } : null,
    login: { ask: async () => headerOf(await ask()) },
    skipsVerification: cluster.skipTLSVerify,
    serverName: cluster.tlsServerName ?? null,
    namespace: config.getContextObject(config.getCurrentContext())?.namespace ?? 'default',
  };
}

function headerOf(options: https.RequestOptions): string | null {
  const headers = options.headers as Readonly<Record<string, unknown>> | undefined;
  const header = headers?.['Authorization'];
  if (typeof header === 'string') return header;
  return options.auth ? `Basic ${Buffer.from(options.auth).toString('base64')}` : null;
}

function textOf(material: unknown): string | null {
  if (typeof material === 'string') return material;
  return Buffer.isBuffer(material) ? material.toString('utf8') : null;
}
