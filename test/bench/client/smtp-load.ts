/** What the rows do over SMTP: as MTAs do, with PIPELINING (RFC 2920) as far as the final dot. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { messageMaker } from './messages.ts';
import { uniqueStart } from './imap-load.ts';
import { percentile } from '../statistics.ts';
import type { Begin, Outcome, Task } from './tasks.ts';

type Credentials = { readonly user: string; readonly password: string };

export type SmtpDoor = {
  readonly startTls?: boolean;
  /** From the first byte. */
  readonly tls?: boolean;
  readonly login?: Credentials | null;
};

export class SmtpConnection {
  #socket: Socket;
  #text = '';
  #expected = 0;
  #settle: { readonly resolve: () => void; readonly reject: (error: Error) => void } | null = null;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    this.#listen(socket);
  }

  #listen(socket: Socket): void {
    socket.on('data', (chunk: Buffer) => {
      this.#text += chunk.toString('latin1');
      this.#look();
    });
    const fail = (error?: Error): void => this.#settle?.reject(error ?? new Error('the server hung up'));
    socket.on('error', fail);
    socket.on('close', () => fail());
  }

  static async open(port: number, options: SmtpDoor = {}): Promise<SmtpConnection> {
    const socket =
      options.tls === true
        ? connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false })
        : connect({ port, host: '127.0.0.1' });
    const connection = new SmtpConnection(socket);
    await connection.#replies(1);
    await connection.#say('EHLO client.outside.test\r\n', 1);
    if (options.startTls === true) await connection.#startTls();
    if (options.login) await connection.#authenticate(options.login);
    return connection;
  }

  async #authenticate({ user, password }: Credentials): Promise<void> {
    await this.#say(`AUTH PLAIN ${Buffer.from(`\0${user}\0${password}`).toString('base64')}\r\n`, 1);
  }

  async #startTls(): Promise<void> {
    await this.#say('STARTTLS\r\n', 1);
    const plain = this.#socket;
    plain.removeAllListeners('data');
    this.#socket = connectTls({ socket: plain, rejectUnauthorized: false });
    this.#listen(this.#socket);
    await once(this.#socket, 'secureConnect');
    await this.#say('EHLO client.outside.test\r\n', 1);
  }

  /** Resolves at 250; gives the milliseconds from the final dot. */
  async deliver(recipients: readonly string[], message: Buffer, sender = 'sender@outside.test'): Promise<number> {
    const to = recipients.map((recipient) => `RCPT TO:<${recipient}>\r\n`).join('');
    await this.#say(`MAIL FROM:<${sender}>\r\n${to}DATA\r\n`, recipients.length + 2);
    this.#socket.cork();
    this.#socket.write(message);
    const replied = this.#say('.\r\n', 1);
    this.#socket.uncork();
    const sentAt = performance.now();
    await replied;
    return performance.now() - sentAt;
  }

  async quit(): Promise<void> {
    await this.#say('QUIT\r\n', 1);
    this.#socket.destroy();
  }

  #say(text: string, replies: number): Promise<void> {
    this.#socket.write(text);
    return this.#replies(replies);
  }

  #replies(count: number): Promise<void> {
    this.#expected = count;
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      this.#look();
    });
  }

  #look(): void {
    for (let end = this.#text.indexOf('\n'); end !== -1; end = this.#text.indexOf('\n')) {
      const line = this.#text.slice(0, end);
      this.#text = this.#text.slice(end + 1);
      if (line[3] === '-') continue;
      if (line[0] !== '2' && line[0] !== '3') this.#settle?.reject(new Error(`SMTP: ${line.trim()}`));
      this.#expected -= 1;
      if (this.#expected === 0) this.#settle?.resolve();
    }
  }
}

export async function smtpLoad(
  task: Extract<Task, { kind: 'smtp' }>,
  begin: Begin,
): Promise<Omit<Outcome, 'cpuSeconds'>> {
  const make = messageMaker(task.bytes);
  const start = uniqueStart();
  const latencies: number[] = [];
  let next = 0;
  let endsAt = 0;
  const isReused = task.messagesPerConnection > 1;
  const session = async (first: SmtpConnection | null): Promise<void> => {
    let connection = first;
    for (let sent = 0; performance.now() < endsAt; sent++) {
      if (connection !== null && sent > 0 && sent % task.messagesPerConnection === 0) {
        await connection.quit();
        connection = null;
      }
      connection ??= await SmtpConnection.open(task.port, task);
      const n = next++;
      const recipients = task.recipients[n % task.recipients.length] as readonly string[];
      latencies.push(await connection.deliver(recipients, make(start + n)));
    }
    await connection?.quit();
  };
  const open = isReused
    ? await Promise.all(Array.from({ length: task.sessions }, () => SmtpConnection.open(task.port, task)))
    : Array.from({ length: task.sessions }, () => null);
  await begin();
  const startedAt = performance.now();
  endsAt = startedAt + task.seconds * 1000;
  await Promise.all(open.map(session));
  const seconds = (performance.now() - startedAt) / 1000;
  latencies.sort((a, b) => a - b);
  return {
    count: next,
    seconds,
    bytes: next * task.bytes,
    also: { 'dot to 250 p50 ms': percentile(latencies, 50), 'dot to 250 p99 ms': percentile(latencies, 99) },
  };
}
