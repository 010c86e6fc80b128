import { z } from 'zod';
import { certificateSource } from './certificate-source.ts';
import { allowedNamespaces } from './label-selector.ts';
import { domainName, domainPattern, ipAddress, uniqueList } from './schema-parts.ts';

/** MailServer: an installation in a cluster, to which domains belong. */
export const mailServerSpec = z.strictObject({
  hostname: domainName,
  tls: certificateSource(['SelfSigned', 'Secret', 'CertManager', 'None'], 'SelfSigned').default({ mode: 'SelfSigned' }),
  /** As the rest of the world sees them. */
  publicAddresses: uniqueList(ipAddress).max(16).default([]),
  /** Whose MailDomains may belong to it. */
  allowedNamespaces,
  /** Domains that need no proof. */
  domains: uniqueList(domainPattern).max(1000).default([]),
  /** `SameName`: rows whose resource is gone follow that of the same kind, namespace and name. */
  adoptFrom: z.enum(['None', 'SameName'], 'must be None or SameName').default('None'),
});

export type MailServerSpec = z.output<typeof mailServerSpec>;
