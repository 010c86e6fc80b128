import type { Resolver } from '#shared/dns/answer.ts';
import { createResolver } from '#shared/dns/resolver.ts';
import { parseDnsServer, systemDnsServers } from '#shared/dns/system-servers.ts';
import type { Foundation } from './foundation.ts';

/** Asks the servers of the configuration, else those of the system. */
export async function openResolver({ config, clock }: Pick<Foundation, 'config' | 'clock'>): Promise<Resolver> {
  const servers = config.dnsServers.flatMap((text) => parseDnsServer(text) ?? []);
  return createResolver({ servers: servers.length > 0 ? servers : await systemDnsServers(), clock });
}
