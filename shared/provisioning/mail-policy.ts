import { z } from 'zod';
import { quantity } from './schema-parts.ts';

/** MailPolicy: what is asked of mail that comes in for the domains that name it. */
export const mailPolicySpec = z.strictObject({
  /** Bytes; the server's own limit holds where it is smaller. */
  maxMessageSize: quantity.optional(),
  requireInboundTLS: z.boolean().default(false),
});

export type MailPolicySpec = z.output<typeof mailPolicySpec>;
