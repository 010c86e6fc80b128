import { z } from 'zod';
import { certificateSource } from './certificate-source.ts';
import { allowedNamespaces } from './label-selector.ts';
import { address, domainName, domainPattern, ipAddress, localReference, uniqueList } from './schema-parts.ts';

/** RFC 8555. The operator checks what only it can: that the bundle is one, and that the Secret has a key. */
const acme = z.strictObject({
  directoryUrl: z
    .string()
    .min(9)
    .max(1000)
    .regex(/^https:\/\/[a-zA-Z0-9.:[\]-]+(\/[!-~]*)?$/, 'must be an https address')
    .default('https://acme-v02.api.letsencrypt.org/directory'),
  contacts: uniqueList(address).max(8).default([]),
  termsOfServiceAgreed: z.literal(true, 'must be true, nothing is ordered without'),
  externalAccountBinding: z.strictObject({ keyId: z.string().min(1).max(1000), secretRef: localReference }).optional(),
  /** PEM. */
  caBundle: z
    .string()
    .min(1)
    .max(65_536)
    .regex(/-----BEGIN CERTIFICATE-----/, 'must be certificates in PEM')
    .optional(),
});

/** MailServer: an installation in a cluster, to which domains belong. */
export const mailServerSpec = z
  .strictObject({
    hostname: domainName,
    tls: certificateSource(['SelfSigned', 'Secret', 'CertManager', 'ACME', 'None'], 'SelfSigned').default({
      mode: 'SelfSigned',
    }),
    /** The authority of those whose mode is ACME. */
    acme: acme.optional(),
    /** As the rest of the world sees them. */
    publicAddresses: uniqueList(ipAddress).max(16).default([]),
    /** Whose MailDomains may belong to it. */
    allowedNamespaces,
    /** Domains that need no proof. */
    domains: uniqueList(domainPattern).max(1000).default([]),
    /** `SameName`: rows whose resource is gone follow that of the same kind, namespace and name. */
    adoptFrom: z.enum(['None', 'SameName'], 'must be None or SameName').default('None'),
  })
  .refine(({ tls, acme: authority }) => tls.mode !== 'ACME' || authority !== undefined, {
    path: ['acme'],
    error: 'is needed with tls mode ACME',
  });

export type MailServerSpec = z.output<typeof mailServerSpec>;
