import { z } from 'zod';
import {
  address,
  deletionPolicy,
  domainName,
  duration,
  localReference,
  notYet,
  objectName,
  oneOfNow,
  quantity,
  sendingLimits,
} from './schema-parts.ts';

const noSelector = 'namespaces have labels only in a cluster; write from: All, or from: Same';

const allowedNamespaces = z
  .strictObject({
    from: oneOfNow(['Same', 'All'], { Selector: noSelector }).default('Same'),
    selector: notYet(noSelector),
  })
  .default({ from: 'Same' });

const dkim = z
  .strictObject({
    /** Empty: mail of the domain is not signed. */
    algorithms: z
      .array(z.enum(['rsa2048', 'ed25519'], 'must be rsa2048 or ed25519'))
      .max(2)
      .default(['rsa2048', 'ed25519']),
    /** In seconds. `overlap`: how long before and after its use a key is to be published. */
    rotation: z
      .strictObject({ interval: duration.optional(), overlap: duration.default(168 * 3600) })
      .default({ overlap: 168 * 3600 }),
    keySecretRef: notYet('keys are made and sealed in the database'),
  })
  .default({ algorithms: ['rsa2048', 'ed25519'], rotation: { overlap: 168 * 3600 } });

const dmarc = z.strictObject({
  policy: z.enum(['none', 'quarantine', 'reject']).optional(),
  percent: z.int().min(0).max(100).optional(),
  rua: z.array(address).max(8).optional(),
});

const mtaSts = z.strictObject({
  mode: z.enum(['none', 'testing', 'enforce']).optional(),
  maxAge: duration.optional(),
});

const tls = z.strictObject({
  mode: z.enum(['Server', 'CertManager', 'ACME', 'Secret', 'SelfSigned']).optional(),
  issuerRef: z
    .strictObject({
      name: objectName,
      kind: z.enum(['Issuer', 'ClusterIssuer']).optional(),
      group: z.string().optional(),
    })
    .optional(),
  secretRef: localReference.optional(),
});

const dns = z.strictObject({
  publish: z.enum(['StatusOnly', 'DNSEndpoint']).optional(),
  verify: z.boolean().optional(),
  verifyInterval: duration.optional(),
});

/** MailDomain: a domain whose mail is received here. */
export const mailDomainSpec = z.strictObject({
  domain: domainName,
  serverRef: localReference.optional(),
  aliasDomains: z.array(domainName).max(32).default([]),
  /** Empty: no sub-addresses. */
  subaddressDelimiter: z
    .string()
    .regex(/^[-+=_.~#!$%&*/?^|]?$/, 'must be one character of -+=_.~#!$%&*/?^| or empty')
    .default('+'),
  catchAll: address.optional(),
  allowedNamespaces,
  limits: z
    .strictObject({
      maxMailboxes: z.int().min(0).optional(),
      defaultQuota: quantity.optional(),
      totalQuota: quantity.optional(),
      ...sendingLimits,
    })
    .default({}),
  suspended: z.boolean().default(false),
  deletionPolicy,
  dkim,
  dmarc: dmarc.optional(),
  mtaSts: mtaSts.optional(),
  tls: tls.optional(),
  dns: dns.optional(),
  policyRef: notYet('MailPolicy comes with the filters'),
  routeRef: notYet('MailRoute comes with sending to other domains'),
});

export type MailDomainSpec = z.output<typeof mailDomainSpec>;

/** Fields that are read and checked, but whose part of the program does not exist yet; a manifest may have them. */
export const mailDomainWithoutEffect = ['dmarc', 'mtaSts', 'tls', 'dns'] as const;
