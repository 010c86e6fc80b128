/** What a workload finds in the Secret of its MailCredential. */

/** Where mail is handed in. */
export type MailHost = {
  readonly host: string;
  /** PEM of the authority that signed the server's certificate, where it is one of our own; else null. */
  readonly authority: string | null;
};

/** RFC 8314: submission with TLS from the first byte. */
const port = 465;

export function credentialValues(
  username: string,
  password: string,
  { host, authority }: MailHost,
): Readonly<Record<string, string>> {
  const login = `${encodeURIComponent(username)}:${encodeURIComponent(password)}`;
  return {
    host,
    port: String(port),
    username,
    password,
    uri: `smtps://${login}@${host}:${port}`,
    ...(authority !== null && { 'ca.crt': authority }),
  };
}
