import { z } from 'zod';
import { address, duration, objectName, sendingLimits, uniqueList } from './schema-parts.ts';

const { messagesPerHour, messagesPerDay } = sendingLimits;

/** Of `rotation.interval`, in seconds. */
const leastInterval = 60;
const digitsOfInterval = /^(?:[0-9]{1,6}h)?(?:[0-9]{1,6}m)?(?:[0-9]{1,6}s)?$/;

const interval = z
  .string('must be a duration such as "720h"')
  .regex(digitsOfInterval, 'must be a duration such as 720h, in numbers of six digits at most')
  .pipe(duration)
  .refine((seconds) => seconds >= leastInterval, 'must be 1m at least');

/** MailCredential: a login that hands in mail and does nothing else, written into a Secret. */
export const mailCredentialSpec = z.strictObject({
  /** The local part "*" stands for every address of the domain. */
  allowedSenders: uniqueList(address, 'must be a list of addresses').min(1, 'must name one address at least').max(64),
  /** Without it: `credentialSecretName`. */
  secretName: objectName.optional(),
  /** In seconds. `overlap`: how long the password before the present one works too. */
  rotation: z.strictObject({ interval, overlap: duration.default(24 * 3600) }).optional(),
  /** Of whom it has written to before nothing is kept, so new recipients are not told apart. */
  limits: z.strictObject({ messagesPerHour, messagesPerDay }).default({}),
});

export type MailCredentialSpec = z.output<typeof mailCredentialSpec>;
