import { z } from 'zod';
import { address, deletionPolicy, notYet, uniqueList } from './schema-parts.ts';

/** MailAlias: an address that leads to others. */
export const mailAliasSpec = z.strictObject({
  address,
  members: uniqueList(address, 'must be a list of addresses').min(1, 'must name one member at least').max(1000),
  allowExternalMembers: z.boolean().default(false),
  whoMaySend: notYet('who sends is not checked against aliases'),
  /** Members may send with this address; the member of an alias with one member may anyway. */
  sendAs: z.boolean().default(false),
  deletionPolicy,
});

export type MailAliasSpec = z.output<typeof mailAliasSpec>;
