/**
 * A sender that behaves as a good MTA does when its peer dies: what was not answered 250 is sent again. It knows
 * where each message is, so that a test can say what a kill hit.
 */
import { createHash, randomBytes } from 'node:crypto';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export type LoadMessage = {
  readonly id: string;
  readonly to: readonly string[];
  readonly bytes: Buffer;
  readonly sha256: string;
};

/** `data`: between 354 and the final dot. `waiting`: the dot is sent, the reply is not there. */
export type Phase = 'queued' | 'data' | 'waiting' | 'accepted';

/** A message whose body can be checked byte for byte: lines of hexadecimal noise. */
export function makeMessage(id: string, to: readonly string[], bodyBytes: number): LoadMessage {
  const lines: string[] = [];
  for (let left = bodyBytes; left > 0; left -= 78) lines.push(randomBytes(38).toString('hex'));
  const text = `From: load@sender.test\r\nTo: ${to.join(', ')}\r\nSubject: load ${id}\r\nMessage-ID: <${id}@load.test>\r\n\r\n${lines.join('\r\n')}\r\n`;
  const bytes = Buffer.from(text, 'latin1');
  return { id, to, bytes, sha256: createHash('sha256').update(bytes).digest('hex') };
}

class Refused extends Error {}

export class SmtpLoad {
  readonly #port: number;
  readonly #queue: LoadMessage[];
  readonly phases = new Map<string, Phase>();
  /** Replies other than 250 to a message, and cut connections: what made us send again. */
  readonly retries: string[] = [];
  /** Heard before the session goes on, right behind the 250. */
  onAccepted: ((message: LoadMessage) => Promise<void>) | null = null;
  /** As large MTAs send (RFC 2920): the envelope in one piece as far as DATA. */
  isPipelining = false;
  /** Milliseconds to dwell in the middle of DATA; lets a test catch a message there. */
  dwellMs = 0;

  constructor(port: number, messages: readonly LoadMessage[]) {
    this.#port = port;
    this.#queue = [...messages];
    for (const { id } of messages) this.phases.set(id, 'queued');
  }

  count(phase: Phase): number {
    return [...this.phases.values()].filter((one) => one === phase).length;
  }

  /** Sends everything over `sessions` connections; resolves when all are accepted. */
  async run(sessions: number, signal: AbortSignal): Promise<void> {
    await Promise.all(Array.from({ length: sessions }, () => this.#session(signal)));
  }

  async #session(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (this.#queue.length === 0 && this.count('accepted') === this.phases.size) return;
      if (this.#queue.length === 0) {
        await sleep(20);
        continue;
      }
      await this.#connection(signal);
    }
  }

  async #connection(signal: AbortSignal): Promise<void> {
    const socket = net.connect(this.#port, '127.0.0.1');
    const stop = (): void => void socket.destroy();
    signal.addEventListener('abort', stop);
    let running: LoadMessage | undefined;
    try {
      const replies = repliesOf(socket);
      await expectReply(replies, 220);
      await command(socket, replies, 'EHLO sender.test', 250);
      for (running = this.#queue.shift(); running; running = this.#queue.shift()) {
        await this.#send(socket, replies, running);
        this.phases.set(running.id, 'accepted');
        const accepted = running;
        running = undefined;
        await this.onAccepted?.(accepted);
      }
      socket.end('QUIT\r\n');
    } catch (error) {
      this.retries.push(error instanceof Error ? error.message : String(error));
      if (running) {
        this.phases.set(running.id, 'queued');
        this.#queue.push(running);
      }
      await sleep(error instanceof Refused ? 100 : 30);
    } finally {
      signal.removeEventListener('abort', stop);
      socket.destroy();
    }
  }

  async #send(socket: net.Socket, replies: AsyncIterator<string>, message: LoadMessage): Promise<void> {
    await this.#envelope(socket, replies, message);
    this.phases.set(message.id, 'data');
    const middle = message.bytes.length >> 1;
    socket.write(message.bytes.subarray(0, middle));
    if (this.dwellMs > 0) await sleep(this.dwellMs);
    socket.write(message.bytes.subarray(middle));
    this.phases.set(message.id, 'waiting');
    await command(socket, replies, '.', 250);
  }

  async #envelope(socket: net.Socket, replies: AsyncIterator<string>, message: LoadMessage): Promise<void> {
    const lines = ['MAIL FROM:<load@sender.test>', ...message.to.map((to) => `RCPT TO:<${to}>`), 'DATA'];
    if (this.isPipelining) socket.write(`${lines.join('\r\n')}\r\n`);
    for (const line of lines) {
      if (!this.isPipelining) socket.write(`${line}\r\n`);
      await expectReply(replies, line === 'DATA' ? 354 : 250);
    }
  }
}

async function command(socket: net.Socket, replies: AsyncIterator<string>, line: string, code: number): Promise<void> {
  socket.write(`${line}\r\n`);
  await expectReply(replies, code);
}

async function expectReply(replies: AsyncIterator<string>, code: number): Promise<void> {
  const { value, done } = await replies.next();
  if (done) throw new Error('connection closed');
  if (!value.startsWith(String(code))) throw new Refused(value);
}

async function* repliesOf(socket: net.Socket): AsyncGenerator<string, void, void> {
  let text = '';
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    text += chunk.toString('latin1');
    for (let end = text.indexOf('\r\n'); end >= 0; end = text.indexOf('\r\n')) {
      const line = text.slice(0, end);
      text = text.slice(end + 2);
      if (line[3] !== '-') yield line;
    }
  }
}
