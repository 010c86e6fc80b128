import type { Resolver } from './dns/answer.ts';
import { createResolver } from './dns/resolver.ts';
import { parseDnsServer, systemDnsServers } from './dns/system-servers.ts';
import type { Foundation } from './foundation.ts';

/** Asks the servers of the configuration, else those of the system. */
export async function openResolver({ config, clock }: Pick<Foundation, 'config' | 'clock'>): Promise<Resolver> {
  const servers = config.dnsServers.flatMap((text) => parseDnsServer(text) ?? []);
  return createResolver({ servers: servers.length > 0 ? servers : await systemDnsServers(), clock });
}
