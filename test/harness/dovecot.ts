/** Debian's Dovecot as a second opinion: its IMAP process over a pipe, already logged in, on a mailbox of its own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { ImapSession } from './imap-session.ts';

/** Dovecot refuses to serve root: Debian's nobody and nogroup. */
const nobody = 65534;

/** A mail folder and the programs that read it. Give back with `await using`. */
export class Dovecot implements AsyncDisposable {
  readonly #folder: string;
  readonly #sessions: ImapSession[] = [];

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
  async connect(): Promise<ImapSession> {
    const isRoot = process.getuid?.() === 0;
    const child = spawn('/usr/lib/dovecot/imap', ['-c', path.join(this.#folder, 'dovecot.conf')], {
      env: { USER: 'corpus', HOME: this.#folder },
      cwd: this.#folder,
      ...(isRoot && { uid: nobody, gid: nobody }),
    });
    let errors = '';
    child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString('latin1')));
    const ended = once(child, 'close');
    const session = new ImapSession(child.stdin, child.stdout, {
      explain: () => errors,
      async end() {
        child.stdin.end();
        child.stdout.destroy();
        child.kill();
        await ended;
      },
    });
    this.#sessions.push(session);
    await session.greeting();
    return session;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions) await session[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
