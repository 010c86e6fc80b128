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
} from './schema-parts.ts';

const noSelector = 'namespaces have labels only in a cluster; write from: All, or from: Same';

const allowedNamespaces = z
  .strictObject({
    from: oneOfNow(['Same', 'All'], { Selector: noSelector }).default('Same'),
    selector: notYet(noSelector),
  })
  .default({ from: 'Same' });

const dkim = z.strictObject({
  algorithms: z
    .array(z.enum(['rsa2048', 'ed25519']))
    .max(2)
    .optional(),
  rotation: z.strictObject({ interval: duration.optional(), overlap: duration.optional() }).optional(),
  keySecretRef: localReference.optional(),
});

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
    })
    .default({}),
  suspended: z.boolean().default(false),
  deletionPolicy,
  dkim: dkim.optional(),
  dmarc: dmarc.optional(),
  mtaSts: mtaSts.optional(),
  tls: tls.optional(),
  dns: dns.optional(),
  policyRef: notYet('MailPolicy comes with the filters'),
  routeRef: notYet('MailRoute comes with sending to other domains'),
});

export type MailDomainSpec = z.output<typeof mailDomainSpec>;

/** Fields that are read and checked, but whose part of the program does not exist yet; a manifest may have them. */
export const mailDomainWithoutEffect = ['dkim', 'dmarc', 'mtaSts', 'tls', 'dns'] as const;
