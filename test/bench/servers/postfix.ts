/** A private Postfix that delivers into maildir by virtual(8). */
import { chown, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts } from '../../harness/ports.ts';
import { runProgram } from '../../harness/run-program.ts';
import type { Certificate } from './certificate.ts';
import { Child, isListening } from './child.ts';
import { addressOf, domain, users, type MailServer } from './mail-server.ts';

const program = '/usr/sbin/postfix';
/** Debian's nobody and nogroup own the mail. */
const mailOwner = 65534;
const deliveryTimeoutMs = 180_000;

/** Of master.cf, beside the listener. */
export const postfixServices = `
smtpd pass - - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`;

export class Postfix implements MailServer {
  readonly name = 'postfix';
  readonly imapPort = null;
  readonly imapTlsPort = null;
  readonly description: string;
  readonly smtpPort: number;
  readonly #folder: string;
  readonly #child: Child;

  private constructor(folder: string, smtpPort: number, version: string) {
    this.#folder = folder;
    this.smtpPort = smtpPort;
    this.description = `Postfix ${version} into maildir by virtual(8), 50 deliveries at a time, fsync on`;
    this.#child = new Child({
      file: program,
      args: ['-c', path.join(folder, 'etc'), 'start-fg'],
      logFile: path.join(folder, 'postfix.log'),
    });
  }

  /**
   * `further`: lines of main.cf. Throws where the package is not installed or we are not root: Postfix changes users.
   */
  static async start(folder: string, certificate: Certificate, further = ''): Promise<Postfix> {
    const version = await runProgram('/usr/sbin/postconf', ['-dh', 'mail_version']).catch(() => null);
    if (version === null) throw new Error('the Debian package postfix is not installed');
    if (process.getuid?.() !== 0) throw new Error('Postfix starts only as root');
    const [port] = (await freePorts(1)) as [number];
    await mkdir(path.join(folder, 'etc'), { recursive: true });
    for (const name of ['queue', 'lib', 'mail']) await mkdir(path.join(folder, name), { recursive: true });
    await chown(path.join(folder, 'mail'), mailOwner, mailOwner);
    const postfixIds = await idsOf('postfix');
    await chown(path.join(folder, 'lib'), postfixIds.uid, postfixIds.gid);
    await writeFile(path.join(folder, 'etc', 'main.cf'), `${mainCf(folder, certificate)}${further}`);
    await writeFile(
      path.join(folder, 'etc', 'master.cf'),
      `127.0.0.1:${port} inet n - n - 200 smtpd${postfixServices}`,
    );
    await writeFile(
      path.join(folder, 'etc', 'mailboxes'),
      users.map((user) => `${addressOf(user)} ${user}/\n`).join(''),
    );
    const server = new Postfix(folder, port, version.stdout.trim());
    await server.#child.ready(() => isListening(port));
    return server;
  }

  roots(): readonly number[] {
    return [this.#child.pid];
  }

  loginName(user: string): string {
    return user;
  }

  /** Empties the maildirs: what is found later is new. */
  async mark(): Promise<void> {
    for (const user of users) await rm(path.join(this.#folder, 'mail', user), { recursive: true, force: true });
  }

  async settled(expected: number): Promise<void> {
    for (const deadline = performance.now() + deliveryTimeoutMs; ; await sleep(20)) {
      const found = await this.#delivered();
      if (found === expected) return;
      if (found > expected) throw new Error(`Postfix delivered ${found} messages, ${expected} were sent`);
      if (performance.now() > deadline) throw new Error(`Postfix delivered ${found} of ${expected} messages in time`);
    }
  }

  restart(): Promise<void> {
    return Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await runProgram(program, ['-c', path.join(this.#folder, 'etc'), 'stop']);
    await this.#child.stop();
  }

  async #delivered(): Promise<number> {
    let found = 0;
    for (const user of users) {
      const folder = path.join(this.#folder, 'mail', user, 'new');
      found += (await readdir(folder).catch(() => [])).length; // Made at the first delivery.
    }
    return found;
  }
}

/** Throws where there is no such user. */
export async function idsOf(user: string): Promise<{ uid: number; gid: number }> {
  const [uid, gid] = await Promise.all(['-u', '-g'].map((flag) => runProgram('/usr/bin/id', [flag, user])));
  return { uid: Number(uid?.stdout), gid: Number(gid?.stdout) };
}

function mainCf(folder: string, { certificateFile, keyFile }: Certificate): string {
  return `compatibility_level = 3.6
queue_directory = ${folder}/queue
data_directory = ${folder}/lib
mail_owner = postfix
setgid_group = postdrop
myhostname = mail.bench.test
mydestination =
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_recipient_restrictions = permit_mynetworks, reject
virtual_mailbox_domains = ${domain}
virtual_mailbox_base = ${folder}/mail
virtual_mailbox_maps = texthash:${folder}/etc/mailboxes
virtual_uid_maps = static:${mailOwner}
virtual_gid_maps = static:${mailOwner}
virtual_mailbox_limit = 0
message_size_limit = 52428800
default_process_limit = 200
initial_destination_concurrency = 50
default_destination_concurrency_limit = 50
in_flow_delay = 0
maillog_file = ${folder}/mail.log
maillog_file_prefixes = ${folder}
maximal_queue_backoff_time = 10s
minimal_queue_backoff_time = 5s
queue_run_delay = 5s
alias_maps =
alias_database =
smtpd_tls_security_level = may
smtpd_tls_chain_files = ${keyFile}, ${certificateFile}
`;
}
