/** Pebble, a small ACME authority for tests, as `make envtest` builds it: on loopback, with a DNS of its own that knows every name. */
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import packet from 'dns-packet';
import { pebbleFolder } from '../../tools/envtest/folder.ts';
import { Child } from '../bench/servers/child.ts';
import { makeAuthority } from './certificates.ts';
import { freePorts } from './ports.ts';

export const missingPebbleMessage = 'NO ACME AUTHORITY: its tests are skipped. Run `make envtest` (needs Go)';

/** Null where it is not to be had. */
export function pebbleProgram(): string | null {
  const file = path.join(pebbleFolder(readFileSync('tools/pebble/go.mod', 'utf8'), process.env), 'pebble');
  return existsSync(file) ? file : null;
}

/** For `describe.skipIf`; the test command says so in one line. With TEST_REQUIRE_PEBBLE set it is an error. */
export function lacksPebble(): boolean {
  if (pebbleProgram() !== null) return false;
  if (process.env['TEST_REQUIRE_PEBBLE']) throw new Error(missingPebbleMessage);
  return true;
}

export type PebbleOptions = {
  /** Where it asks for challenges of http-01; the port of every name. */
  readonly httpPort: number;
  /** Of certificates, in seconds; 90 days unless told. */
  readonly validitySeconds?: number;
  /** Keys by their names, base64url: an account needs one of them. */
  readonly bindings?: Readonly<Record<string, string>>;
  readonly blocked?: readonly string[];
  /** Of a hundred nonces so many are refused. */
  readonly badNonces?: number;
};

export interface Pebble extends AsyncDisposable {
  readonly directoryUrl: string;
  /** Who signs its own TLS certificate, PEM. */
  readonly caBundle: string;
  log(): string;
  /** What its management interface answers to a POST. */
  manage(path: string, body: string): Promise<number>;
}

export async function startPebble(options: PebbleOptions): Promise<Pebble> {
  const program = pebbleProgram();
  if (program === null) throw new Error(missingPebbleMessage);
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(path.join(tmpdir(), 'postrider-pebble-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const dns = stack.use(await startDns());
  const [acme, management] = (await freePorts(2)) as [number, number];
  const authority = await makeAuthority('Pebble');
  const { cert, key } = await authority.issue(['localhost']);
  const file = (name: string): string => path.join(folder, name);
  await writeFile(file('tls.crt'), cert);
  await writeFile(file('tls.key'), key);
  const { httpPort, validitySeconds = 90 * 24 * 3600, bindings = {}, blocked = [], badNonces = 0 } = options;
  const config = {
    listenAddress: `127.0.0.1:${acme}`,
    managementListenAddress: `127.0.0.1:${management}`,
    certificate: file('tls.crt'),
    privateKey: file('tls.key'),
    httpPort,
    tlsPort: 1,
    keyAlgorithm: 'ecdsa',
    externalAccountBindingRequired: Object.keys(bindings).length > 0,
    externalAccountMACKeys: bindings,
    domainBlocklist: blocked,
    retryAfter: { authz: 1, order: 1 },
    profiles: { default: { description: 'of tests', validityPeriod: validitySeconds } },
  };
  await writeFile(file('config.json'), JSON.stringify({ pebble: config }));
  const child = new Child({
    file: program,
    args: ['-config', file('config.json'), '-dnsserver', dns.server, '-strict'],
    env: { PEBBLE_VA_NOSLEEP: '1', PEBBLE_WFE_NONCEREJECT: String(badNonces), PEBBLE_AUTHZREUSE: '0' },
    logFile: file('log'),
  });
  stack.defer(() => child.stop());
  const ask = (port: number, at: string, body?: string): Promise<number> => request(authority.cert, port, at, body);
  await child.ready(async () => (await ask(acme, '/dir').catch(() => 0)) === 200);
  const owned = stack.move();
  return {
    directoryUrl: `https://localhost:${acme}/dir`,
    caBundle: authority.cert,
    log: () => readFileSync(file('log'), 'utf8'),
    manage: (at, body) => ask(management, at, body),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function request(ca: string, port: number, at: string, body?: string): Promise<number> {
  const outgoing = https.request(`https://localhost:${port}${at}`, {
    ca,
    method: body === undefined ? 'GET' : 'POST',
    // It answers nobody without (RFC 8555 section 6.1).
    headers: { 'user-agent': 'tests' },
  });
  outgoing.end(body);
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
  incoming.resume();
  await once(incoming, 'end');
  return incoming.statusCode ?? 0;
}

/** Every name is 127.0.0.1; there are no other records. Over TCP, as pebble asks. */
async function startDns(): Promise<{ readonly server: string } & AsyncDisposable> {
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    socket.on('error', () => socket.destroy());
    let bytes = Buffer.alloc(0);
    socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      if (bytes.length < 2 || bytes.length < 2 + bytes.readUInt16BE(0)) return;
      const { id = 0, questions = [] } = packet.streamDecode(bytes);
      bytes = Buffer.alloc(0);
      const answers = questions.flatMap(({ name, type }) =>
        type === 'A' ? [{ name, type: 'A' as const, ttl: 1, data: '127.0.0.1' }] : [],
      );
      const flags = packet.RECURSION_DESIRED | packet.RECURSION_AVAILABLE;
      socket.write(packet.streamEncode({ type: 'response', id, flags, questions, answers }));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    server: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of open) socket.destroy();
      }),
  };
}
