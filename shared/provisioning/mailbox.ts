import { z } from 'zod';
import {
  address,
  deletionPolicy,
  duration,
  notYet,
  objectName,
  oneOfNow,
  quantity,
  sendingLimits,
  uniqueList,
} from './schema-parts.ts';

const secretRef = z.strictObject({ name: objectName, key: z.string().min(1).max(253).default('password') });

const password = z
  .strictObject({
    mode: oneOfNow(['Generated', 'SecretRef', 'Initial'], {
      External: 'logins against OpenID Connect or LDAP come later',
    }).default('Generated'),
    secretRef: secretRef.optional(),
    length: z.int('must be a whole number').min(16, 'must be 16 at least').max(128, 'must be 128 at most').default(32),
    rotationInterval: notYet('edit or delete the generated Secret to rotate a password'),
  })
  .default({ mode: 'Generated', length: 32 })
  .refine(({ mode, secretRef }) => mode === 'Generated' || secretRef !== undefined, {
    path: ['secretRef'],
    error: 'is required with mode SecretRef or Initial',
  })
  .refine(({ mode, secretRef }) => mode !== 'Generated' || secretRef === undefined, {
    path: ['secretRef'],
    error: 'has no place with mode Generated; write mode: SecretRef',
  });

/** Mailbox: an account with an address. */
export const mailboxSpec = z.strictObject({
  address,
  displayName: z.string().max(256).optional(),
  state: oneOfNow(['Active', 'Suspended'], {
    ReceiveOnly: 'write Active or Suspended',
    SendOnly: 'write Active or Suspended',
  }).default('Active'),
  quota: quantity.optional(),
  password,
  protocols: notYet('every mailbox has all protocols that are served'),
  aliases: uniqueList(address).max(64).default([]),
  deletionPolicy,
  /** In seconds: with deletionPolicy Delete, how long mail is kept after the resource went. */
  deletionGracePeriod: duration.default(168 * 3600),
  forwarding: notYet('a MailAlias sends on, inside and to other domains'),
  limits: z.strictObject({ ...sendingLimits, recipientsPerMessage: z.int().min(1).max(1000).optional() }).default({}),
  /** What is handed in over SMTP is put into the mailbox with the use \\Sent too. */
  savesSent: z.boolean().default(false),
  policyRef: notYet('a MailDomain names the policy for its mailboxes'),
  sieveConfigMapRef: notYet('Sieve comes with the filters'),
});

export type MailboxSpec = z.output<typeof mailboxSpec>;
