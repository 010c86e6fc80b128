import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import type { DnsServer } from './exchange.ts';

const dnsPort = 53;
/** As resolv.conf(5) has it: more are not asked. */
const maxServers = 3;

/** The servers that resolv.conf names; 127.0.0.1 where it names none, as resolv.conf(5) says. */
export async function systemDnsServers(file = '/etc/resolv.conf'): Promise<readonly DnsServer[]> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const servers = parseResolvConf(text);
  return servers.length > 0 ? servers : [{ address: '127.0.0.1', port: dnsPort }];
}

export function parseResolvConf(text: string): readonly DnsServer[] {
  return text
    .split('\n')
    .flatMap((line) => /^nameserver[ \t]+(\S+)/.exec(line)?.[1] ?? [])
    .filter((address) => isIP(address) !== 0)
    .slice(0, maxServers)
    .map((address) => ({ address, port: dnsPort }));
}

/** "192.0.2.1", "192.0.2.1:5353", "[2001:db8::1]:53" or "2001:db8::1"; null: none of them. */
export function parseDnsServer(text: string): DnsServer | null {
  if (isIP(text) !== 0) return { address: text, port: dnsPort };
  const [, bracketed, plain, port = `${dnsPort}`] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const address = bracketed ?? plain ?? '';
  const isKnown = bracketed === undefined ? isIP(address) === 4 : isIP(address) === 6;
  return isKnown && Number(port) > 0 && Number(port) < 65_536 ? { address, port: Number(port) } : null;
}
