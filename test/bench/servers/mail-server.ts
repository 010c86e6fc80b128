/** A server under test, as the rows see it. */
import type { Login } from '../client/tasks.ts';
import type { SinkPorts } from './sinks.ts';

export type ServerName =
  | 'postrider'
  | 'postrider-1ms'
  | 'postfix'
  | 'postfix-opendkim'
  | 'dovecot-mdbox'
  | 'dovecot-sdbox'
  | 'dovecot-xapian'
  | 'empty-loop';

export const domain = 'bench.test';
export const password = 'correct horse battery';
/** user0 to user49 receive and log in; the others hold what the rows read. */
export const plainUsers: readonly string[] = Array.from({ length: 50 }, (_, n) => `user${n}`);
/** Where Dovecot need not compute argon2id. */
export const cheapUsers: readonly string[] = plainUsers.map((_, n) => `cheap${n}`);
/** Whose flags are durable when STORE is answered, which Dovecot has to be told. */
export const marker = 'marker';
export const users: readonly string[] = [...plainUsers, ...cheapUsers, 'reader', 'grown', 'idler', 'writer', marker];

/** Where users hand in what goes to the sinks. */
export type Sending = {
  /** Implicit TLS. */
  readonly port: number;
  /** Null: everybody on this machine may. */
  readonly login: { readonly user: string; readonly password: string } | null;
  readonly sinks: SinkPorts;
};

export interface MailServer extends AsyncDisposable {
  readonly name: ServerName;
  /** For the table: the program and how it is set up. */
  readonly description: string;
  readonly smtpPort: number | null;
  readonly imapPort: number | null;
  /** Implicit TLS. */
  readonly imapTlsPort: number | null;
  /** Not given: it sends nothing out. */
  readonly sending?: Sending;
  /** Whose mailboxes it serves, where they are not its own. */
  readonly sharesMailboxesOf?: ServerName;
  /** Round trips to its database so far; null where they are not counted. */
  roundTrips?(): Promise<number> | null;
  /** Of the processes whose trees are the server. */
  roots(): readonly number[];
  /** Under which name a user logs in. */
  loginName(user: string): string;
  /** Resolves when this many messages more than at `mark` are in mailboxes. */
  settled(expected: number): Promise<void>;
  /** Called before messages are sent. */
  mark(): Promise<void>;
  /** A process as after a start; what is on disk stays. */
  restart(): Promise<void>;
}

export function loginOf(server: MailServer, user: string, options: { readonly tls?: boolean } = {}): Login {
  const port = options.tls ? server.imapTlsPort : server.imapPort;
  if (port === null) throw new Error(`${server.name} has no IMAP`);
  return { port, tls: options.tls === true, user: server.loginName(user), password };
}

export function addressOf(user: string): string {
  return `${user}@${domain}`;
}
