/** What `run --local` prints when it is ready: what is open, who can log in, and what to try. */
import path from 'node:path';
import { dataPaths, type ServerConfig } from '#shared/config/server-config.ts';
import type { ListenerName } from './listener-plan.ts';

export type LocalLogin = { readonly address: string; readonly password: string };

const listenerWords: Readonly<Record<ListenerName, string>> = {
  mx: 'SMTP, mail from other servers (STARTTLS)',
  submission: 'SMTP submission (STARTTLS, login)',
  submissions: 'SMTP submission (TLS, login)',
  imap: 'IMAP (STARTTLS)',
  imaps: 'IMAP (TLS)',
  acme: 'HTTP: challenges of an ACME authority',
  http: 'HTTP: /readyz, /metrics, /api/v1/info',
};

/** `logins` are those whose passwords are known here, in the order of their addresses. */
export function welcome(
  config: ServerConfig,
  ports: ReadonlyMap<ListenerName, number>,
  logins: readonly LocalLogin[],
): string {
  const listeners = [...ports].map(([name, port]) => `  ${`127.0.0.1:${port}`.padEnd(16)} ${listenerWords[name]}`);
  const width = Math.max(0, ...logins.map(({ address }) => address.length));
  const accounts = logins.map(({ address, password }) => `  ${address.padEnd(width)}  ${password}`);
  return [
    '',
    `Postrider is ready.${config.developmentMode ? ' DEVELOPMENT MODE: any name of a local domain, any password.' : ''}`,
    '',
    'Open on this machine:',
    ...listeners,
    '',
    ...(accounts.length > 0 ? ['Address and password:', ...accounts, ''] : []),
    ...tryThese(config, ports, logins),
    `Mail and keys are in ${dataPaths(config).directory}. Ctrl-C stops; the next start has the same mail.`,
    '',
    '',
  ].join('\n');
}

/** Commands that work as they are pasted, from any folder. */
function tryThese(
  config: ServerConfig,
  ports: ReadonlyMap<ListenerName, number>,
  logins: readonly LocalLogin[],
): readonly string[] {
  const [first, second = first] = logins;
  const smtp = ports.get('mx');
  const submissions = ports.get('submissions');
  const imaps = ports.get('imaps');
  if (!first || !second || smtp === undefined || submissions === undefined || imaps === undefined) return [];
  const certificate = config.sslCertFile ?? path.join(dataPaths(config).tls, 'self-signed.crt');
  const trusting = `curl -sS --cacert ${quote(certificate)}`;
  return [
    `Send to ${first.address} as another mail server would:`,
    `  ${mail('Hello', { from: 'you@example.net', to: first.address })} | curl -sS smtp://127.0.0.1:${smtp} --mail-from you@example.net --mail-rcpt ${quote(first.address)} -T -`,
    '',
    `Send as ${first.address} to ${second.address}:`,
    `  ${mail('Submitted', { from: first.address, to: second.address })} | ${trusting} smtps://localhost:${submissions} -u ${quote(login(first))} --mail-from ${quote(first.address)} --mail-rcpt ${quote(second.address)} -T -`,
    '',
    `Read the newest message of ${first.address}:`,
    `  ${trusting} ${quote(`imaps://localhost:${imaps}/INBOX;MAILINDEX=*`)} -u ${quote(login(first))}`,
    '',
  ];
}

function mail(subject: string, { from, to }: { readonly from: string; readonly to: string }): string {
  return `printf 'From: ${from}\\r\\nTo: ${to}\\r\\nSubject: ${subject}\\r\\n\\r\\nIt works.\\r\\n'`;
}

function login({ address, password }: LocalLogin): string {
  return `${address}:${password}`;
}

/** For sh. */
function quote(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
