/** Clients that go on while something happens to the servers, and an account of what became of each of their steps. */
import { setTimeout as sleep } from 'node:timers/promises';
import { handIn, subjects, withMailbox, type Endpoints, type Login } from './mail-client.ts';
import { eventually } from './story.ts';

export type LoadResult = {
  readonly sent: readonly string[];
  readonly reads: number;
  /** What was said to those whose step failed. */
  readonly failures: readonly string[];
};

const senders = 2;
const readers = 2;
const pauseMs = 250;

export class Load {
  readonly #endpoints: Endpoints;
  readonly #from: Login;
  readonly #to: Login;
  readonly #sent: string[] = [];
  readonly #failures: string[] = [];
  readonly #done: Promise<unknown>;
  #reads = 0;
  #isOver = false;

  /** Each step has a connection, a TLS handshake and a login of its own: the hardest for servers that come and go. */
  constructor(endpoints: Endpoints, from: Login, to: Login) {
    this.#endpoints = endpoints;
    this.#from = from;
    this.#to = to;
    this.#done = Promise.all([
      ...Array.from({ length: senders }, () => this.#repeat('send', () => this.#send())),
      ...Array.from({ length: readers }, () => this.#repeat('read', () => this.#read())),
    ]);
  }

  async stop(): Promise<LoadResult> {
    this.#isOver = true;
    await this.#done;
    return { sent: this.#sent, reads: this.#reads, failures: this.#failures };
  }

  async #repeat(what: string, step: () => Promise<void>): Promise<void> {
    while (!this.#isOver) {
      try {
        await step();
      } catch (error) {
        this.#failures.push(`${new Date().toISOString().slice(11, 19)} ${what}: ${describe(error)}`);
      }
      await sleep(pauseMs);
    }
  }

  async #send(): Promise<void> {
    this.#sent.push(await handIn(this.#endpoints, this.#from, this.#to.address));
  }

  async #read(): Promise<void> {
    await withMailbox(this.#endpoints, this.#to, async (client) => {
      await client.status('INBOX', { messages: true });
    });
    this.#reads += 1;
  }
}

function describe(error: unknown): string {
  const { message, code, responseText } = error as { message: string; code?: string; responseText?: string };
  return [code, message, responseText].filter((part) => part !== undefined).join(' ');
}

/** Every message that was taken is there, exactly once. */
export async function assertNothingLost(endpoints: Endpoints, to: Login, { sent }: LoadResult): Promise<void> {
  const missing = (seen: ReadonlySet<string>) => sent.filter((mark) => !seen.has(mark));
  await eventually(`all ${sent.length} messages are in the mailbox`, 60, async () => {
    const marks = (await subjects(endpoints, to)).map((subject) => subject.replace('e2e ', ''));
    const lost = missing(new Set(marks));
    if (lost.length > 0)
      throw new Error(`${lost.length} of ${sent.length} messages that were taken are not there: ${lost[0]}`);
    const ours = marks.filter((mark) => sent.includes(mark));
    if (ours.length !== sent.length) throw new Error(`${ours.length - sent.length} messages are there twice`);
    return true;
  });
}
