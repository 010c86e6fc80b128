/** Mail as users outside of the cluster see it: over the ports of the Services on a node. */
import { randomUUID } from 'node:crypto';
import tls from 'node:tls';
import { ImapFlow } from 'imapflow';
import { createTransport } from 'nodemailer';
import { get, kubectl, list, namespace, release, secretValue } from './kubectl.ts';

export type Login = { readonly address: string; readonly password: string };
export type Endpoints = {
  readonly host: string;
  readonly smtp: number;
  readonly submission: number;
  readonly submissions: number;
  readonly imap: number;
  readonly imaps: number;
};

/** Certificates of an installation of minutes are signed by nobody whom we know. */
const anyCertificate = { rejectUnauthorized: false };
const timeouts = { connectionTimeout: 10_000, greetingTimeout: 10_000, socketTimeout: 20_000 };

export async function findEndpoints(where = namespace): Promise<Endpoints> {
  const [node] = await list('nodes');
  const addresses = node?.status?.['addresses'] as readonly { type: string; address: string }[];
  const host = addresses.find(({ type }) => type === 'InternalIP')?.address ?? '127.0.0.1';
  const portOf = async (service: string, name: string): Promise<number> => {
    const ports = (await get('service', `${release}-${service}`, where))?.spec?.['ports'] as readonly {
      name: string;
      nodePort?: number;
    }[];
    const port = ports.find((one) => one.name === name)?.nodePort;
    if (port === undefined) throw new Error(`Service ${release}-${service} has no port ${name} on nodes`);
    return port;
  };
  return {
    host,
    smtp: await portOf('smtp', 'smtp'),
    submission: await portOf('submission', 'submission'),
    submissions: await portOf('submission', 'submissions'),
    imap: await portOf('imap', 'imap'),
    imaps: await portOf('imap', 'imaps'),
  };
}

/** The login that the operator put into the mailbox's Secret; null: not yet. */
export async function loginOf(mailbox: string, where = namespace): Promise<Login | null> {
  const address = ((await get('mailbox', mailbox, where))?.spec?.['address'] ?? null) as string | null;
  const password = await secretValue(`${mailbox}-mailbox`, 'password', where);
  return address === null || password === null ? null : { address, password };
}

/** Hands a message in with STARTTLS and a login; resolves with the mark in its subject once it was taken. */
export async function handIn(
  { host, submission }: Endpoints,
  login: Login,
  to: string,
  mark = randomUUID() as string,
): Promise<string> {
  const transport = createTransport({
    host,
    port: submission,
    requireTLS: true,
    tls: anyCertificate,
    auth: { user: login.address, pass: login.password },
    ...timeouts,
  });
  try {
    await transport.sendMail({ from: login.address, to, subject: `e2e ${mark}`, text: 'From the outside.' });
    return mark;
  } finally {
    transport.close();
  }
}

/** Mail from another server: port 25, no login. */
export async function deliver({ host, smtp }: Endpoints, to: string): Promise<string> {
  const transport = createTransport({ host, port: smtp, name: 'sender.example', tls: anyCertificate, ...timeouts });
  const mark = randomUUID();
  try {
    await transport.sendMail({ from: 'someone@sender.example', to, subject: `e2e ${mark}`, text: 'Hello.' });
    return mark;
  } finally {
    transport.close();
  }
}

/** One IMAP session over TLS. */
export async function withMailbox<T>(
  { host, imaps }: Endpoints,
  login: Login,
  work: (client: ImapFlow) => Promise<T>,
): Promise<T> {
  const client = new ImapFlow({
    host,
    port: imaps,
    secure: true,
    tls: anyCertificate,
    auth: { user: login.address, pass: login.password },
    logger: false,
    socketTimeout: 20_000,
  });
  client.on('error', () => undefined);
  await client.connect();
  try {
    const lock = await client.getMailboxLock('INBOX');
    try {
      return await work(client);
    } finally {
      lock.release();
    }
  } finally {
    await client.logout().catch(() => undefined);
  }
}

/** Subjects of all messages in the inbox. */
export function subjects(endpoints: Endpoints, login: Login): Promise<readonly string[]> {
  return withMailbox(endpoints, login, async (client) => {
    const found: string[] = [];
    for await (const { envelope } of client.fetch('1:*', { envelope: true })) found.push(envelope?.subject ?? '');
    return found;
  });
}

export async function has(endpoints: Endpoints, login: Login, mark: string): Promise<boolean> {
  return (await subjects(endpoints, login)).some((subject) => subject.endsWith(mark));
}

/** Whether the login opens the mailbox. */
export async function opens(endpoints: Endpoints, login: Login): Promise<boolean> {
  try {
    await withMailbox(endpoints, login, () => Promise.resolve());
    return true;
  } catch (error) {
    if ((error as { authenticationFailed?: boolean }).authenticationFailed) return false;
    throw error;
  }
}

/** The serial number of the certificate that IMAP shows. */
export function certificateSerial({ host, imaps }: Endpoints, servername: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host, port: imaps, servername, ...anyCertificate }, () => {
      resolve(socket.getPeerCertificate().serialNumber);
      socket.destroy();
    });
    socket.setTimeout(10_000, () => socket.destroy(new Error('no TLS within 10 s')));
    socket.once('error', reject);
  });
}

/** One statement in the bundled database; resolves with what psql prints, unaligned and without headers. */
export async function sql(statement: string): Promise<string> {
  const psql = 'PGPASSWORD=$(cat /etc/postgres/password) exec psql -h 127.0.0.1 -U postrider -d postrider -Atc "$1"';
  return (await kubectl('exec', `${release}-database-0`, '--', 'sh', '-c', psql, 'sh', statement)).trim();
}
