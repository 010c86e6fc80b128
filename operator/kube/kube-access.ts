/** Where an API server is, and who we are to it. */

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
