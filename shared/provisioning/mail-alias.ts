import { z } from 'zod';
import { address, deletionPolicy, oneOfNow } from './schema-parts.ts';

const whoMaySend = 'who sends is not checked against aliases';

/** MailAlias: an address that leads to others. */
export const mailAliasSpec = z.strictObject({
  address,
  members: z.array(address, 'must be a list of addresses').min(1, 'must name one member at least').max(1000),
  /** Allows no more than there is: a member elsewhere is refused all the same. */
  allowExternalMembers: z.boolean().optional(),
  whoMaySend: oneOfNow(['Anyone'], { Domain: whoMaySend, Members: whoMaySend }).default('Anyone'),
  sendAs: z.literal(false, 'true is not available yet: an alias of one account may be sent from anyway').optional(),
  deletionPolicy,
});

export type MailAliasSpec = z.output<typeof mailAliasSpec>;
