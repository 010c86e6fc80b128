/** A private Postfix that takes mail of our users, has OpenDKIM sign it, and sends it to the sinks. */
import { chmod, chown, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { generateKeyPairSync } from 'node:crypto';
import { freePorts } from '../../harness/ports.ts';
import { runProgram } from '../../harness/run-program.ts';
import type { Certificate } from './certificate.ts';
import { Child, isListening } from './child.ts';
import { domain, type MailServer, type Sending } from './mail-server.ts';
import { idsOf, postfixServices } from './postfix.ts';
import { sinkCount, sinkDomain, type SinkPorts } from './sinks.ts';

const program = '/usr/sbin/postfix';

export class PostfixOpenDkim implements MailServer {
  readonly name = 'postfix-opendkim';
  readonly imapPort = null;
  readonly imapTlsPort = null;
  readonly smtpPort = null;
  readonly description: string;
  readonly sending: Sending;
  readonly #folder: string;
  readonly #postfix: Child;
  readonly #dkim: Child;

  private constructor(folder: string, sending: Sending, version: string, dkim: Child) {
    this.#folder = folder;
    this.sending = sending;
    this.description = `Postfix ${version} with OpenDKIM over a unix socket (RSA-2048), TLS connections reused, fsync on`;
    this.#dkim = dkim;
    this.#postfix = new Child({
      file: program,
      args: ['-c', path.join(folder, 'etc'), 'start-fg'],
      logFile: path.join(folder, 'postfix.log'),
    });
  }

  /** Throws where the packages are not installed or we are not root: both change users. */
  static async start(folder: string, certificate: Certificate, sinks: SinkPorts): Promise<PostfixOpenDkim> {
    const version = await runProgram('/usr/sbin/postconf', ['-dh', 'mail_version']).catch(() => null);
    if (version === null) throw new Error('the Debian package postfix is not installed');
    if (process.getuid?.() !== 0) throw new Error('Postfix starts only as root');
    const dkim = await startDkim(folder);
    const [port] = (await freePorts(1)) as [number];
    for (const name of ['etc', 'queue', 'lib']) await mkdir(path.join(folder, name), { recursive: true });
    const { uid, gid } = await idsOf('postfix');
    await chown(path.join(folder, 'lib'), uid, gid);
    await writeFile(path.join(folder, 'etc', 'main.cf'), mainCf(folder, certificate));
    await writeFile(path.join(folder, 'etc', 'master.cf'), masterCf(port));
    await writeFile(path.join(folder, 'etc', 'transport'), transportTable(sinks.port));
    const sending = { port, login: null, sinks };
    const server = new PostfixOpenDkim(folder, sending, version.stdout.trim(), dkim);
    await server.#postfix.ready(() => isListening(port));
    return server;
  }

  roots(): readonly number[] {
    return [this.#postfix.pid, this.#dkim.pid];
  }

  loginName(user: string): string {
    return user;
  }

  mark(): Promise<void> {
    return Promise.resolve();
  }

  settled(): Promise<void> {
    return Promise.resolve();
  }

  restart(): Promise<void> {
    return Promise.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await runProgram(program, ['-c', path.join(this.#folder, 'etc'), 'stop']);
    await this.#postfix.stop();
    await this.#dkim.stop();
  }
}

async function startDkim(folder: string): Promise<Child> {
  const own = path.join(folder, 'dkim');
  await mkdir(own, { recursive: true });
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  await writeFile(path.join(own, 'key'), privateKey.export({ format: 'pem', type: 'pkcs1' }), { mode: 0o600 });
  await writeFile(path.join(own, 'keys'), `bench ${domain}:bench:${own}/key\n`);
  await writeFile(path.join(own, 'signing'), `*@${domain} bench\n`);
  await writeFile(path.join(own, 'conf'), dkimConf(own));
  const { uid, gid } = await idsOf('opendkim').catch(() => {
    throw new Error('the Debian package opendkim is not installed');
  });
  for (const name of ['', 'key']) await chown(path.join(own, name), uid, gid);
  await chmod(own, 0o755);
  const child = new Child({
    file: '/usr/sbin/opendkim',
    args: ['-f', '-x', path.join(own, 'conf')],
    logFile: path.join(own, 'log'),
  });
  await child.ready(async () => (await runProgram('/usr/bin/test', ['-S', path.join(own, 'socket')])).code === 0);
  return child;
}

/** As Debian's, but for where things are: below /tmp no key is called safe. Debian's oversigns From too. */
function dkimConf(own: string): string {
  return `Mode s
UserID opendkim
UMask 000
Socket local:${own}/socket
KeyTable file:${own}/keys
SigningTable refile:${own}/signing
Canonicalization relaxed/relaxed
OversignHeaders From
InternalHosts 127.0.0.1
RequireSafeKeys no
Syslog no
`;
}

/** Mail hosts are told, so that it need not ask the DNS. */
function transportTable(port: number): string {
  return Array.from({ length: sinkCount }, (_, n) => `${sinkDomain(n + 1)} smtp:[127.0.1.${n + 1}]:${port}\n`).join('');
}

function masterCf(port: number): string {
  return `127.0.0.1:${port} inet n - n - 100 smtpd -o smtpd_tls_wrappermode=yes${postfixServices}smtp unix - - n - 200 smtp
tlsproxy unix - - n - 0 tlsproxy
`;
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
smtpd_relay_restrictions = permit_mynetworks, reject
transport_maps = texthash:${folder}/etc/transport
message_size_limit = 52428800
default_process_limit = 200
default_destination_concurrency_limit = 20
initial_destination_concurrency = 10
in_flow_delay = 0
smtpd_milters = unix:${folder}/dkim/socket
milter_default_action = tempfail
smtpd_tls_security_level = may
smtpd_tls_chain_files = ${keyFile}, ${certificateFile}
smtp_tls_security_level = may
smtp_tls_session_cache_database = btree:\${data_directory}/smtp_scache
smtp_tls_connection_reuse = yes
maillog_file = ${folder}/mail.log
maillog_file_prefixes = ${folder}
alias_maps =
alias_database =
`;
}
