/**
 * The header in which a load balancer says whose connection it hands on: the PROXY protocol, versions 1 and 2, as
 * HAProxy's proxy-protocol.txt describes it. Pure.
 */
import { isIPv4, isIPv6 } from 'node:net';

export type ProxyHeader =
  | { readonly kind: 'incomplete' }
  /** Not a header, or a broken one. */
  | { readonly kind: 'bad'; readonly reason: string }
  /** The balancer speaks for itself (a health check), or doesn't know the client. `length` bytes belong to the header. */
  | { readonly kind: 'own'; readonly length: number }
  | { readonly kind: 'client'; readonly length: number; readonly address: string; readonly port: number };

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const head = 16;
/** Section 2.1: the longest line of version 1, with its CRLF. */
const longestLine = 107;
/** Of version 2, with all that may follow the addresses; 65,551 are possible, no balancer sends a tenth of it. */
const longestBinary = 4096;

export const longestProxyHeader = longestBinary;

/** What the first bytes of a connection are. */
export function readProxyHeader(bytes: Buffer): ProxyHeader {
  const compared = Math.min(bytes.length, signature.length);
  if (bytes.subarray(0, compared).equals(signature.subarray(0, compared))) {
    return bytes.length < head ? { kind: 'incomplete' } : readBinary(bytes);
  }
  return readLine(bytes);
}

function readLine(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, longestLine).indexOf('\r\n');
  const text = bytes.toString('latin1', 0, end === -1 ? Math.min(bytes.length, longestLine) : end);
  if (!text.startsWith('PROXY '.slice(0, text.length))) return bad('it does not begin with a PROXY header');
  if (end === -1) return bytes.length >= longestLine ? bad('the line has no end') : { kind: 'incomplete' };
  const length = end + 2;
  const [, family, source = '', destination = '', sourcePort = '', destinationPort = '', ...rest] = text.split(' ');
  if (family === 'UNKNOWN') return { kind: 'own', length };
  const isAddress = family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isIPv6 : null;
  const port = portOf(sourcePort);
  const isWhole =
    isAddress !== null &&
    isAddress(source) &&
    isAddress(destination) &&
    portOf(destinationPort) !== null &&
    rest.length === 0;
  if (!isWhole || port === null) return bad('its line is not one of version 1');
  return { kind: 'client', length, address: source, port };
}

function portOf(text: string): number | null {
  return /^(?:0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535 ? Number(text) : null;
}

/** Section 2.2. */
function readBinary(bytes: Buffer): ProxyHeader {
  const command = bytes.readUInt8(12);
  const family = bytes.readUInt8(13);
  const length = head + bytes.readUInt16BE(14);
  if (command >> 4 !== 2 || (command & 0x0f) > 1) return bad('its version or command is not known');
  if (length > longestBinary) return bad(`it is longer than ${longestBinary} bytes`);
  if (bytes.length < length) return { kind: 'incomplete' };
  const isTcp = (family & 0x0f) === 1;
  if ((command & 0x0f) === 0 || !isTcp) return { kind: 'own', length };
  switch (family >> 4) {
    case 1:
      if (length < head + 12) return bad('its addresses are cut short');
      return {
        kind: 'client',
        length,
        address: bytes.subarray(head, head + 4).join('.'),
        port: bytes.readUInt16BE(head + 8),
      };
    case 2:
      if (length < head + 36) return bad('its addresses are cut short');
      return {
        kind: 'client',
        length,
        address: ipv6(bytes.subarray(head, head + 16)),
        port: bytes.readUInt16BE(head + 32),
      };
    default:
      return { kind: 'own', length };
  }
}

/** As URLs write it, so in its shortest form; an IPv4 address in one is written as such. */
function ipv6(bytes: Buffer): string {
  const isMapped = bytes.subarray(0, 12).equals(Buffer.from('00000000000000000000ffff', 'hex'));
  if (isMapped) return bytes.subarray(12).join('.');
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(i * 2).toString(16));
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}

function bad(reason: string): ProxyHeader {
  return { kind: 'bad', reason };
}
