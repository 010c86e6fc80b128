/** RFC 1928: a connection by way of a SOCKS5 proxy, with or without a password (RFC 1929). */
import { isIPv4, isIPv6, SocketAddress } from 'node:net';
import type { SocksProxy } from '#server/mail/outbound-routes.ts';
import { PeerFault } from './peer-fault.ts';

type Stream = {
  read(timeoutMs: number): Promise<Buffer>;
  write(chunk: Buffer, timeoutMs: number): Promise<void>;
  destroy(): void;
};

export type SocksTarget = {
  readonly proxy: SocksProxy;
  readonly address: string;
  readonly port: number;
  readonly timeoutMs: number;
};

/** RFC 1928 section 6. */
const failures: readonly string[] = [
  '',
  'general failure',
  'not allowed by its rules',
  'network unreachable',
  'host unreachable',
  'connection refused',
  'TTL expired',
  'command not supported',
  'address type not supported',
];

/** Leaves `stream` at the first byte of the peer. Rejects with PeerFault `connect`, and has closed it then. */
export async function openThroughSocks(stream: Stream, target: SocksTarget): Promise<void> {
  try {
    await negotiate(stream, target);
  } catch (cause) {
    stream.destroy();
    throw new PeerFault('connect', `the SOCKS proxy: ${cause instanceof Error ? cause.message : 'failed'}`, { cause });
  }
}

async function negotiate(stream: Stream, { proxy, address, port, timeoutMs }: SocksTarget): Promise<void> {
  const read = reader(stream, timeoutMs);
  const { credentials } = proxy;
  await stream.write(Buffer.from(credentials ? [5, 2, 0, 2] : [5, 1, 0]), timeoutMs);
  const [version, method] = await read(2);
  if (version !== 5 || (method !== 0 && method !== 2)) throw new Error('it wants a login that we do not have');
  if (method === 2) {
    const user = Buffer.from(credentials?.user ?? '');
    const password = Buffer.from(credentials?.password ?? '');
    const message = [Buffer.from([1, user.length]), user, Buffer.from([password.length]), password];
    await stream.write(Buffer.concat(message), timeoutMs);
    if ((await read(2))[1] !== 0) throw new Error('wrong user or password');
  }
  const destination = Buffer.alloc(2);
  destination.writeUInt16BE(port);
  await stream.write(Buffer.concat([Buffer.from([5, 1, 0]), socksAddress(address), destination]), timeoutMs);
  const [, code = 1, , type] = await read(4);
  if (code !== 0) throw new Error(failures[code] ?? `failure ${code}`);
  await read((type === 4 ? 16 : type === 3 ? ((await read(1))[0] ?? 0) : 4) + 2);
}

function socksAddress(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from([1, ...address.split('.').map(Number)]);
  if (!isIPv6(address)) throw new Error('no address');
  return Buffer.concat([Buffer.from([4]), ipv6Bytes(address)]);
}

function ipv6Bytes(address: string): Buffer {
  const [head = '', tail] = new SocketAddress({ address, family: 'ipv6' }).address.split('::');
  const groups = (text: string | undefined): readonly string[] =>
    text === undefined || text === '' ? [] : text.split(':');
  const front = groups(head);
  const back = groups(tail);
  const zeros = Array.from({ length: 8 - front.length - back.length }, () => '0');
  const bytes = Buffer.alloc(16);
  for (const [i, group] of [...front, ...zeros, ...back].entries())
    bytes.writeUInt16BE(Number.parseInt(group, 16), 2 * i);
  return bytes;
}

/** Exactly so many bytes; the proxy sends nothing of the peer before its last answer is read. */
function reader(stream: Stream, timeoutMs: number): (bytes: number) => Promise<Buffer> {
  let held = Buffer.alloc(0);
  return async (bytes) => {
    while (held.length < bytes) held = Buffer.concat([held, await stream.read(timeoutMs)]);
    const taken = held.subarray(0, bytes);
    held = held.subarray(bytes);
    return taken;
  };
}
