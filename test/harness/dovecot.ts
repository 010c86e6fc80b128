/** Debian's Dovecot as a second opinion: its IMAP process over a pipe, already logged in, on a mailbox of its own. */
import { spawn } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';

/** Dovecot refuses to serve root: Debian's nobody and nogroup. */
const nobody = 65534;

/** A mail folder and the programs that read it. Give back with `await using`. */
export class Dovecot implements AsyncDisposable {
  readonly #folder: string;
  readonly #sessions: DovecotSession[] = [];

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async start(): Promise<Dovecot> {
    const folder = await mkdtemp(path.join(tmpdir(), 'postrider-dovecot-'));
    const mail = path.join(folder, 'mail');
    await mkdir(mail);
    if (process.getuid?.() === 0) {
      await chown(folder, nobody, nobody);
      await chown(mail, nobody, nobody);
    }
    const settings = [
      `base_dir = ${folder}/run`,
      'log_path = /dev/stderr',
      `mail_location = sdbox:${mail}`,
      'protocols = imap',
      'ssl = no',
      'first_valid_uid = 1',
      'first_valid_gid = 1',
    ];
    await writeFile(path.join(folder, 'dovecot.conf'), `${settings.join('\n')}\n`);
    return new Dovecot(folder);
  }

  /** A session in the state "authenticated". */
  async connect(): Promise<DovecotSession> {
    const isRoot = process.getuid?.() === 0;
    const child = spawn('/usr/lib/dovecot/imap', ['-c', path.join(this.#folder, 'dovecot.conf')], {
      env: { USER: 'corpus', HOME: this.#folder },
      cwd: this.#folder,
      ...(isRoot && { uid: nobody, gid: nobody }),
    });
    const session = new DovecotSession(child);
    this.#sessions.push(session);
    await session.greeting();
    return session;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions) await session[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** One IMAP connection; answers are whole responses with their literals, as binary strings. */
export class DovecotSession implements AsyncDisposable {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #ended: Promise<unknown>;
  readonly #output: AsyncIterator<Buffer>;
  #bytes: Buffer = Buffer.alloc(0);
  #errors = '';
  #tag = 0;

  constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    this.#ended = once(child, 'close');
    child.stdin.on('error', () => undefined); // What it wrote before it ended says more.
    child.stderr.on('data', (chunk: Buffer) => (this.#errors += chunk.toString('latin1')));
    this.#output = child.stdout[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  }

  async greeting(): Promise<void> {
    await this.#response();
  }

  /** Sends a command, its line breaks and literals included; resolves with the untagged responses. Throws unless OK. */
  async command(text: string | Buffer): Promise<readonly string[]> {
    const tag = `d${++this.#tag}`;
    this.#child.stdin.write(`${tag} `);
    this.#child.stdin.write(text);
    this.#child.stdin.write('\r\n');
    const untagged: string[] = [];
    for (;;) {
      const response = await this.#response();
      if (response.startsWith(`${tag} OK`)) return untagged;
      if (response.startsWith(`${tag} `)) throw new Error(`Dovecot: ${response} ${this.#errors}`);
      untagged.push(response);
    }
  }

  /** APPENDs one message by a literal that doesn't wait. */
  async append(mailbox: string, message: Buffer): Promise<void> {
    await this.command(Buffer.concat([Buffer.from(`APPEND ${mailbox} {${message.length}+}\r\n`), message]));
  }

  /** One response without its last CRLF, literals as they stand. */
  async #response(): Promise<string> {
    const pieces: string[] = [];
    for (;;) {
      const line = await this.#line();
      pieces.push(line);
      const literal = /\{(\d+)\}\r\n$/.exec(line);
      if (!literal) return pieces.join('').slice(0, -2);
      pieces.push((await this.#take(Number(literal[1]))).toString('latin1'));
    }
  }

  async #line(): Promise<string> {
    let end: number;
    let from = 0;
    while ((end = this.#bytes.indexOf('\n', from)) < 0) {
      from = this.#bytes.length;
      await this.#more(1);
    }
    return (await this.#take(end + 1)).toString('latin1');
  }

  async #take(count: number): Promise<Buffer> {
    if (this.#bytes.length < count) await this.#more(count - this.#bytes.length);
    const taken = this.#bytes.subarray(0, count);
    this.#bytes = this.#bytes.subarray(count);
    return taken;
  }

  async #more(count: number): Promise<void> {
    const chunks: Buffer[] = [this.#bytes];
    for (let got = 0; got < count;) {
      const next = await this.#output.next();
      if (next.done === true) throw new Error(`Dovecot ended: ${this.#errors}`);
      chunks.push(next.value);
      got += next.value.length;
    }
    this.#bytes = Buffer.concat(chunks);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    this.#child.stdout.destroy();
    this.#child.kill();
    await this.#ended;
  }
}
