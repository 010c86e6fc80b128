/**
 * A DNS of our own on loopback: Knot has a signed root with whatever records a test wants, Unbound validates and
 * resolves. `bogus.` is signed wrongly, `insecure.` not at all. `blind` is Knot asked directly: it sets no AD.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createSocket } from 'node:dgram';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Child } from '../bench/servers/child.ts';
import { createResolver } from '#shared/dns/resolver.ts';
import type { Resolver } from '#shared/dns/answer.ts';
import { systemClock } from '#shared/base/clock.ts';
import { freePorts } from './ports.ts';
import { runProgram } from './run-program.ts';

export type DnsRootOptions = {
  /** Lines of the root zone, with whole names. */
  readonly records: readonly string[];
  /** Of the zone `insecure.` */
  readonly insecure?: readonly string[];
};

export class DnsRoot implements AsyncDisposable {
  /** Unbound: validates. */
  readonly validating: { readonly address: string; readonly port: number };
  /** Knot: authoritative, no AD. */
  readonly blind: { readonly address: string; readonly port: number };
  readonly #folder: string;
  readonly #children: Child[];

  private constructor(folder: string, children: Child[], ports: { readonly unbound: number; readonly knot: number }) {
    this.#folder = folder;
    this.#children = children;
    this.validating = { address: '127.0.0.1', port: ports.unbound };
    this.blind = { address: '127.0.0.1', port: ports.knot };
  }

  static async start({ records, insecure = [] }: DnsRootOptions): Promise<DnsRoot> {
    const folder = await mkdtemp(path.join(tmpdir(), 'postrider-dns-'));
    const [knotPort, unboundPort] = (await freePorts(2)) as [number, number];
    const children: Child[] = [];
    const root = new DnsRoot(folder, children, { unbound: unboundPort, knot: knotPort });
    try {
      await mkdir(path.join(folder, 'knot'));
      await writeFile(path.join(folder, 'root.zone'), zone(rootLines(records)));
      for (const name of ['bogus', 'insecure']) {
        const own = name === 'insecure' ? insecure : ['www.bogus. A 127.0.0.1', 'mail.bogus. MX 10 www.bogus.'];
        await writeFile(path.join(folder, `${name}.zone`), zone(soaLines(`${name}.`).concat(own)));
      }
      await writeFile(path.join(folder, 'knot.conf'), knotConf(folder, knotPort));
      const keymgr = async (...args: string[]): Promise<string> => {
        const ran = await runProgram('/usr/sbin/keymgr', ['-c', path.join(folder, 'knot.conf'), '.', ...args]);
        if (ran.code !== 0) throw new Error(`keymgr: ${ran.stderr}`);
        return ran.stdout;
      };
      await keymgr('generate', 'algorithm=ECDSAP256SHA256', 'ksk=yes', 'zsk=yes');
      const anchor = (await keymgr('ds')).split('\n')[0] ?? '';
      children.push(child(folder, 'knot', '/usr/sbin/knotd', ['-c', path.join(folder, 'knot.conf')]));
      await children[0]?.ready(() => answers(knotPort));
      await writeFile(path.join(folder, 'unbound.conf'), unboundConf({ folder, port: unboundPort, knotPort, anchor }));
      children.push(
        child(folder, 'unbound', '/usr/sbin/unbound', ['-d', '-p', '-c', path.join(folder, 'unbound.conf')]),
      );
      await children[1]?.ready(() => answers(unboundPort));
      return root;
    } catch (error) {
      await root[Symbol.asyncDispose]();
      throw error;
    }
  }

  resolver(server: { readonly address: string; readonly port: number } = this.validating): Resolver {
    return createResolver({ servers: [server], clock: systemClock, timeoutsMs: [3_000] });
  }

  /** The root has these records from now on instead of those before, and Unbound forgets what it knows. */
  async publish(records: readonly string[]): Promise<void> {
    await writeFile(path.join(this.#folder, 'root.zone'), zone(rootLines(records)));
    await this.#control('/usr/sbin/knotc', 'knot.conf', ['--blocking', 'zone-reload', '.']);
    await this.#control('/usr/sbin/unbound-control', 'unbound.conf', ['flush_zone', '.']);
  }

  async #control(program: string, conf: string, args: readonly string[]): Promise<void> {
    const ran = await runProgram(program, ['-c', path.join(this.#folder, conf), ...args]);
    if (ran.code !== 0) throw new Error(`${program}: ${ran.stderr}${ran.stdout}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const each of this.#children.toReversed()) await each.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

function child(folder: string, name: string, file: string, args: readonly string[]): Child {
  return new Child({ file, args, logFile: path.join(folder, `${name}.log`) });
}

/** Asked for the root's SOA, it says something other than REFUSED or SERVFAIL. */
function answers(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = createSocket('udp4');
  const timer = setTimeout(() => resolve(false), 200);
  socket.on('error', () => resolve(false));
  socket.on('message', (message) => resolve(((message[3] ?? 15) & 15) === 0));
  socket.connect(port, '127.0.0.1', () => {
    socket.send(Buffer.from([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 1]));
  });
  return promise.finally(() => {
    clearTimeout(timer);
    socket.close();
  });
}

function zone(lines: readonly string[]): string {
  return ['$TTL 60', ...lines, ''].join('\n');
}

function soaLines(name: string): readonly string[] {
  return [`${name} SOA ns.root-server. admin.root-server. 1 3600 600 86400 30`, `${name} NS ns.root-server.`];
}

function rootLines(records: readonly string[]): readonly string[] {
  return [
    ...soaLines('.'),
    'ns.root-server. A 127.0.0.1',
    'bogus. NS ns.root-server.',
    // No key of the zone has this digest.
    `bogus. DS 1 13 2 ${'00'.repeat(32)}`,
    'insecure. NS ns.root-server.',
    ...records,
  ];
}

function knotConf(folder: string, port: number): string {
  const plain = ['bogus', 'insecure']
    .map((name) => `  - domain: ${name}.\n    file: ${folder}/${name}.zone\n`)
    .join('');
  return `server:
    rundir: ${folder}/knot
    listen: 127.0.0.1@${port}
    background-workers: 1
    udp-workers: 1
    tcp-workers: 1
database:
    storage: ${folder}/knot
log:
  - target: stderr
    any: warning
policy:
  - id: manual
    manual: on
    algorithm: ecdsap256sha256
zone:
  - domain: .
    file: ${folder}/root.zone
    zonefile-sync: -1
    zonefile-load: difference-no-serial
    journal-content: all
    dnssec-signing: on
    dnssec-policy: manual
${plain}`;
}

type UnboundOptions = {
  readonly folder: string;
  readonly port: number;
  readonly knotPort: number;
  readonly anchor: string;
};

function unboundConf({ folder, port, knotPort, anchor }: UnboundOptions): string {
  const stub = (name: string): string => `stub-zone:\n  name: "${name}"\n  stub-addr: 127.0.0.1@${knotPort}\n`;
  return `server:
  username: ""
  chroot: ""
  directory: "${folder}"
  pidfile: "${folder}/unbound.pid"
  use-syslog: no
  interface: 127.0.0.1@${port}
  num-threads: 1
  do-ip6: no
  do-not-query-localhost: no
  local-zone: "test." nodefault
  ede: yes
  trust-anchor: "${anchor}"
  module-config: "validator iterator"
remote-control:
  control-enable: yes
  control-interface: "${folder}/unbound.sock"
  control-use-cert: no
${stub('.')}${stub('bogus.')}${stub('insecure.')}`;
}
