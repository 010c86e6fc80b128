/** Where the API server is and who we are to it: from the pod, or from a kubeconfig file. */

export type KubeAccess = {
  /** `https://host:port`, with a path if there is one. */
  readonly server: string;
  /** PEM; null: the system's authorities. */
  readonly ca: string | null;
  /** PEM of a client certificate and its key; null when there is a token. */
  readonly certificate: { readonly certificate: string; readonly privateKey: string } | null;
  /** A bearer token, or the file that has it: it is read again as it is rotated. */
  readonly token: { readonly text: string } | { readonly file: string } | null;
  readonly skipsVerification: boolean;
  /** Name that the server's certificate must have, when not that of `server`. */
  readonly serverName: string | null;
  /** The pod's namespace, or that of the kubeconfig's context. */
  readonly namespace: string;
};

/**
 * In a pod from the service account, else from the file that `KUBECONFIG` names or `~/.kube/config`.
 * Throws a ProgramFault where there is neither, or where the file uses what is not known here.
 */
export function loadKubeAccess(_env: Readonly<Record<string, string | undefined>>): Promise<KubeAccess> {
  throw new Error('not yet');
}
