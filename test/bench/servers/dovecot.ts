/** A private Dovecot as a busy site would set it up; one instance, its users on mdbox, sdbox, or mdbox with xapian. */
import { existsSync } from 'node:fs';
import { chown, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { hashPassword } from '#shared/directory/password.ts';
import { freePorts } from '../../harness/ports.ts';
import { runProgram } from '../../harness/run-program.ts';
import type { Certificate } from './certificate.ts';
import { Child, isListening } from './child.ts';
import { marker, password, users, type MailServer, type ServerName } from './mail-server.ts';

const program = '/usr/sbin/dovecot';
const xapian = '/usr/lib/dovecot/modules/lib21_fts_xapian_plugin.so';
/** One for all users, so that an imap process can serve one after the other: Debian's nobody. */
const mailOwner = 65534;
/** What IDLE needs of inotify; with less, connections that idle are looked after every 30 s and are not hibernated. */
const inotifyInstances = 4096;

type Format = {
  readonly name: ServerName;
  readonly prefix: string;
  readonly location: string;
  readonly plugins: string;
};

const formats: readonly Format[] = [
  { name: 'dovecot-mdbox', prefix: 'm-', location: 'mdbox:~/mdbox', plugins: '' },
  { name: 'dovecot-sdbox', prefix: 's-', location: 'sdbox:~/sdbox', plugins: '' },
  { name: 'dovecot-xapian', prefix: 'x-', location: 'mdbox:~/mdbox', plugins: 'fts,fts_xapian' },
];

export class DovecotInstance implements AsyncDisposable {
  readonly #child: Child;
  readonly imapPort: number;
  readonly imapTlsPort: number;
  readonly version: string;

  private constructor(folder: string, ports: readonly [number, number], version: string) {
    [this.imapPort, this.imapTlsPort] = ports;
    this.version = version;
    this.#child = new Child({
      file: program,
      args: ['-F', '-c', path.join(folder, 'dovecot.conf')],
      logFile: path.join(folder, 'dovecot.log'),
    });
  }

  /** Throws where the package is not installed or we are not root: Dovecot changes users. */
  static async start(folder: string, certificate: Certificate, say: (text: string) => void): Promise<DovecotInstance> {
    const version = await runProgram(program, ['--version']).catch(() => null);
    if (version === null) throw new Error('the Debian package dovecot-imapd is not installed');
    if (process.getuid?.() !== 0) throw new Error('Dovecot with users of its own starts only as root');
    const ports = (await freePorts(2)) as unknown as [number, number];
    await mkdir(path.join(folder, 'mail'), { recursive: true });
    await chown(path.join(folder, 'mail'), mailOwner, mailOwner);
    await writeFile(path.join(folder, 'users'), await usersText(folder));
    await writeFile(path.join(folder, 'dovecot.conf'), configuration(folder, certificate, ports));
    const server = new DovecotInstance(folder, ports, version.stdout.split(' ')[0] ?? '');
    await server.#child.ready(() => isListening(ports[0]));
    const limit = await readFile('/proc/sys/fs/inotify/max_user_instances', 'utf8').catch(() => null); // No Linux.
    if (limit !== null && Number(limit) < inotifyInstances) {
      say(`Dovecot's IDLE wants: sysctl -w fs.inotify.max_user_instances=${inotifyInstances}`);
    }
    return server;
  }

  get pid(): number {
    return this.#child.pid;
  }

  servers(): readonly MailServer[] {
    return formats
      .filter(({ plugins }) => plugins === '' || existsSync(xapian))
      .map((format) => new Dovecot(this, format));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.stop();
  }
}

/** One mailbox format of the instance. */
class Dovecot implements MailServer {
  readonly smtpPort = null;
  readonly #instance: DovecotInstance;
  readonly #format: Format;

  constructor(instance: DovecotInstance, format: Format) {
    this.#instance = instance;
    this.#format = format;
  }

  get name(): ServerName {
    return this.#format.name;
  }

  get description(): string {
    const plugins = this.#format.plugins === '' ? '' : ', full-text search by xapian';
    return `Dovecot ${this.#instance.version} on ${this.#format.location.split(':')[0]}${plugins}, fsync on`;
  }

  get imapPort(): number {
    return this.#instance.imapPort;
  }

  get imapTlsPort(): number {
    return this.#instance.imapTlsPort;
  }

  roots(): readonly number[] {
    return [this.#instance.pid];
  }

  loginName(user: string): string {
    return this.#format.prefix + user;
  }

  settled(): Promise<void> {
    return Promise.resolve();
  }

  mark(): Promise<void> {
    return Promise.resolve();
  }

  /** Each session is a process of its own: nothing of the mailbox is in memory but the kernel's pages. */
  restart(): Promise<void> {
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

/** The same argon2id as ours; the users "cheap…" have a salted SHA-256, which costs nothing. */
async function usersText(folder: string): Promise<string> {
  const argon2id = `{ARGON2ID}${await hashPassword(password)}`;
  const { stdout } = await runProgram('/usr/bin/doveadm', ['pw', '-s', 'SSHA256', '-p', password]);
  const lines = formats.flatMap(({ prefix, location, plugins }) =>
    users.map((user) => {
      const name = prefix + user;
      const hash = user.startsWith('cheap') ? stdout.trim() : argon2id;
      const more = [
        ...(plugins === '' ? [] : [`userdb_mail_plugins=${plugins}`]),
        // As it is by default, "optimized", Dovecot answers STORE without an fsync.
        ...(user === marker ? ['userdb_mail_fsync=always'] : []),
      ];
      return `${name}:${hash}:${mailOwner}:${mailOwner}::${folder}/mail/${name}::${[`userdb_mail=${location}`, ...more].join(' ')}`;
    }),
  );
  return `${lines.join('\n')}\n`;
}

function configuration(folder: string, certificate: Certificate, [port, tlsPort]: readonly [number, number]): string {
  return `base_dir = ${folder}/run
state_dir = ${folder}/state
log_path = ${folder}/dovecot.log
protocols = imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <${certificate.certificateFile}
ssl_key = <${certificate.keyFile}
disable_plaintext_auth = no
auth_cache_size = 64M
first_valid_uid = 1
first_valid_gid = 1
mail_max_userip_connections = 0
default_process_limit = 5000
default_client_limit = 20000
imap_hibernate_timeout = 5s
mail_location = mdbox:~/mdbox
mail_plugins =
passdb {
  driver = passwd-file
  args = username_format=%u ${folder}/users
}
userdb {
  driver = passwd-file
  args = username_format=%u ${folder}/users
}
plugin {
  fts = xapian
  fts_xapian = partial=3 full=20
  fts_autoindex = yes
  fts_enforced = yes
}
service imap-login {
  service_count = 0
  client_limit = 10000
  process_min_avail = 2
  vsz_limit = 1G
  inet_listener imap {
    port = ${port}
  }
  inet_listener imaps {
    port = ${tlsPort}
    ssl = yes
  }
}
service imap {
  process_limit = 5000
  process_min_avail = 4
  service_count = 200
  idle_kill = 3s
  vsz_limit = 4G
  unix_listener imap-master {
    user = $default_internal_user
  }
}
service imap-hibernate {
  unix_listener imap-hibernate {
    mode = 0666
  }
}
service auth {
  vsz_limit = 2G
}
service auth-worker {
  vsz_limit = 1G
}
service indexer-worker {
  vsz_limit = 4G
}
`;
}
