import { z } from 'zod';
import { domainPattern, ipAddress, objectName, uniqueList } from './schema-parts.ts';

const port = (usual: number) =>
  z.int('must be a whole number').min(1, 'must be 1 at least').max(65_535, 'must be 65535 at most').default(usual);

/** A host name or an IP address; it is looked up when it is used. */
const host = z
  .string('must be a host name or an IP address')
  .regex(/^[a-z0-9](?:[a-z0-9.:-]{0,251}[a-z0-9])?$/, 'must be a host name in lower case, or an IP address');

const network = z.union([z.cidrv4(), z.cidrv6()], 'must be a network such as 10.0.0.0/8');

/** Keys `username` and `password`, as kubernetes.io/basic-auth has them. */
const authSecretRef = z.strictObject({ name: objectName });

const caSecretRef = z.strictObject({ name: objectName, key: z.string().min(1).max(253).default('ca.crt') });

const socks = z.strictObject({ address: ipAddress, port: port(1080), authSecretRef: authSecretRef.optional() });

const egress = {
  sourceAddresses: z.array(ipAddress).max(256).default([]),
  socks: socks.optional(),
};

/** What the API server can check of a URL. */
const httpUrl =
  /^https?:\/\/(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?(?:[/?#][!-~]*)?$/;

const base = {
  priority: z.int('must be a whole number').min(0).max(1_000_000).default(0),
  weight: z.int('must be a whole number').min(1, 'must be 1 at least').max(1000).default(1),
};

/** TLS with a host that the route names. */
const hostTls = (usual: 'Required' | 'Opportunistic') =>
  z
    .strictObject({
      mode: z
        .enum(
          ['Required', 'Implicit', 'Opportunistic', 'Disabled'],
          'must be Required, Implicit, Opportunistic or Disabled',
        )
        .default(usual),
      caSecretRef: caSecretRef.optional(),
    })
    .default({ mode: usual });

const target = z.discriminatedUnion(
  'type',
  [
    z.strictObject({
      type: z.literal('Direct'),
      ...base,
      ...egress,
      port: port(25),
      tls: z
        .strictObject({
          mode: z
            .enum(
              ['Opportunistic', 'Required', 'DANE', 'MTASTS', 'Disabled'],
              'must be Opportunistic, Required, DANE, MTASTS or Disabled',
            )
            .default('Opportunistic'),
        })
        .default({ mode: 'Opportunistic' }),
      allowedNetworks: z.array(network).max(256).default([]),
    }),
    z.strictObject({
      type: z.literal('Smarthost'),
      ...base,
      ...egress,
      host,
      port: port(587),
      authSecretRef: authSecretRef.optional(),
      tls: hostTls('Required'),
    }),
    z.strictObject({
      type: z.literal('LMTP'),
      ...base,
      ...egress,
      /** A host, or the path of a socket. */
      host: z.union(
        [host, z.string().regex(/^\/[^\0]{1,100}$/)],
        'must be a host name, an IP address or the path of a socket',
      ),
      port: port(24),
      tls: hostTls('Opportunistic'),
    }),
    z.strictObject({
      type: z.literal('HTTP'),
      ...base,
      url: z
        .string('must be an http or https URL')
        .regex(httpUrl, { error: 'must be an http or https URL, without a user', abort: true })
        .max(2048)
        .refine((text) => URL.canParse(text), 'must be an http or https URL'),
      signingSecretRef: z.strictObject({ name: objectName, key: z.string().min(1).max(253).default('key') }).optional(),
    }),
    z.strictObject({ type: z.literal('Capture'), ...base }),
  ],
  'must have a type: Direct, Smarthost, LMTP, HTTP or Capture',
);

/** MailRoute: which way mail to other domains goes. */
export const mailRouteSpec = z.strictObject({
  match: z
    .strictObject({
      senderDomains: uniqueList(domainPattern).max(256).default([]),
      recipientDomains: uniqueList(domainPattern).max(256).default([]),
    })
    .default({ senderDomains: [], recipientDomains: [] }),
  /** Lower first. */
  priority: z.int('must be a whole number').min(0).max(1_000_000).default(100),
  targets: z
    .array(target, 'must be a list of targets')
    .min(1, 'must name one target at least')
    .max(32, 'must name 32 targets at most')
    .refine((targets) => targets.length === 1 || targets.every(({ type }) => type !== 'Capture'), {
      error: 'may not have Capture beside other targets: nothing would be captured for sure',
    }),
  limits: z
    .strictObject({
      maxConnections: z.int('must be a whole number').min(1, 'must be 1 at least').max(10_000).default(10),
      messagesPerMinute: z.int('must be a whole number').min(1, 'must be 1 at least').optional(),
    })
    .default({ maxConnections: 10 }),
});

export type MailRouteSpec = z.output<typeof mailRouteSpec>;
export type MailRouteTarget = MailRouteSpec['targets'][number];
