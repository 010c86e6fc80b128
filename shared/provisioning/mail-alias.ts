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
  /** Members may send with this address; the member of an alias with one member may anyway. */
  sendAs: z.boolean().default(false),
  deletionPolicy,
});

export type MailAliasSpec = z.output<typeof mailAliasSpec>;
