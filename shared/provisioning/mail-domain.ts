import { z } from 'zod';
import { certificateSource } from './certificate-source.ts';
import { allowedNamespaces } from './label-selector.ts';
import {
  address,
  deletionPolicy,
  domainName,
  duration,
  localReference,
  namespaceName,
  notYet,
  objectName,
  quantity,
  sendingLimits,
  uniqueList,
} from './schema-parts.ts';

const dkim = z
  .strictObject({
    /** Empty: mail of the domain is not signed. */
    algorithms: uniqueList(z.enum(['rsa2048', 'ed25519'], 'must be rsa2048 or ed25519'))
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
  policy: z.enum(['none', 'quarantine', 'reject']).default('none'),
  percent: z.int().min(0).max(100).optional(),
  rua: uniqueList(address).max(8).default([]),
});

const mtaSts = z.strictObject({
  mode: z.enum(['none', 'testing', 'enforce']).default('none'),
  maxAge: duration.default(168 * 3600),
});

const dns = z.strictObject({
  publish: z.enum(['StatusOnly', 'DNSEndpoint']).default('StatusOnly'),
  verify: z.boolean().default(true),
  verifyInterval: duration.default(3600),
});

/** MailDomain: a domain whose mail is received here. */
export const mailDomainSpec = z.strictObject({
  domain: domainName,
  /** In a cluster; without a namespace, in that of the domain. */
  serverRef: z.strictObject({ name: objectName, namespace: namespaceName.optional() }).default({ name: 'default' }),
  aliasDomains: uniqueList(domainName).max(32).default([]),
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
  tls: certificateSource(['Server', 'CertManager', 'ACME', 'Secret', 'SelfSigned'], 'Server').optional(),
  dns: dns.optional(),
  policyRef: localReference.optional(),
  routeRef: notYet('a MailRoute says itself which domains it is for'),
});

export type MailDomainSpec = z.output<typeof mailDomainSpec>;

/** Fields that are read and checked, but whose part of the program does not exist yet; a manifest may have them. */
export const mailDomainWithoutEffect = ['dmarc', 'mtaSts', 'tls', 'dns'] as const;
