/** Which listeners a process opens: decided from the configuration alone. */
import type { ServerConfig } from '#shared/config/server-config.ts';
import type { Role } from '#shared/config/settings.ts';

/** As in logs and the `listener` label of metrics. */
export type ListenerName = 'mx' | 'submission' | 'submissions' | 'imap' | 'imaps' | 'acme' | 'http';

export type PlannedListener = {
  readonly name: ListenerName;
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly tls: 'starttls' | 'implicit' | 'none';
  /** Connections of the load balancers that the configuration names begin with a PROXY header. */
  readonly isBalanced: boolean;
};

const clientRoles = ['mx', 'submission', 'imap'] as const;

/** HTTP is always there: probes and metrics need it whatever else the process does. */
export function planListeners(config: ServerConfig): readonly PlannedListener[] {
  const rows: readonly {
    readonly role: Role | null;
    readonly name: ListenerName;
    readonly host: string;
    readonly port: number | null;
    readonly tls: PlannedListener['tls'];
  }[] = [
    { role: null, name: 'http', host: config.httpHost, port: config.httpPort, tls: 'none' },
    {
      role: 'mx',
      name: 'mx',
      host: config.smtpReceiveHost,
      port: config.smtpReceivePort,
      tls: config.smtpReceiveUseSsl ? 'implicit' : 'starttls',
    },
    {
      role: 'submission',
      name: 'submission',
      host: config.smtpReceiveHost,
      port: config.submissionPort,
      tls: 'starttls',
    },
    {
      role: 'submission',
      name: 'submissions',
      host: config.smtpReceiveHost,
      port: config.smtpReceiveSslPort,
      tls: 'implicit',
    },
    {
      role: 'imap',
      name: 'imap',
      host: config.imapHost,
      port: config.imapPort,
      tls: config.imapUseSsl ? 'implicit' : 'starttls',
    },
    { role: 'imap', name: 'imaps', host: config.imapHost, port: config.imapSslPort, tls: 'implicit' },
    // Once, where clients come: the name that is to be shown is one of these listeners'.
    ...clientRoles
      .filter((role) => config.roles.includes(role))
      .slice(0, 1)
      .map((role) => ({ role, name: 'acme', host: config.httpHost, port: config.acmeHttpPort, tls: 'none' }) as const),
  ];
  return rows.flatMap(({ role, name, host, port, tls }) =>
    port !== null && (role === null || config.roles.includes(role))
      ? [{ name, host, port, tls, isBalanced: (config.proxyProtocolListeners as readonly string[]).includes(name) }]
      : [],
  );
}
