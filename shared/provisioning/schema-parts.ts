/** What the resources' schemas share. Messages are put behind the field's path: "spec.quota is not a quantity". */
import { z } from 'zod';
import { canonicalAddress, formatAddress, parseAddress } from '#shared/text/address.ts';
import { canonicalDomain } from '#shared/text/domain-name.ts';
import { parseDuration, parseQuantity } from './quantity.ts';

/** A field of the resource that has no effect before another part of the program exists: refused, with the reason. */
export function notYet(reason: string) {
  return z.never({ error: `is not available yet: ${reason}` }).optional();
}

/** Of an enumeration, values that would need a part of the program that does not exist. */
export function oneOfNow<const Now extends string>(
  now: readonly [Now, ...Now[]],
  later: Readonly<Record<string, string>>,
) {
  const all = [...now, ...Object.keys(later)].join(', ');
  return z.enum(now, {
    error: ({ input }) => {
      const reason = typeof input === 'string' ? later[input] : undefined;
      return reason === undefined ? `must be one of ${all}` : `${String(input)} is not available yet: ${reason}`;
    },
  });
}

export const domainName = z.string('must be a domain name').transform((text, context) => {
  const name = canonicalDomain(text);
  if (name === null || !name.includes('.')) {
    context.addIssue({ code: 'custom', message: `${JSON.stringify(text)} is not a domain name with at least one dot` });
    return z.NEVER;
  }
  if (name === text) return name;
  const message = `must be written as ${name}: in lower case, and in ASCII (RFC 5890, A-label)`;
  context.addIssue({ code: 'custom', message });
  return z.NEVER;
});

/** A domain, or "*." and a domain for all below it: a top-level domain too. */
export const domainPattern = z.string('must be a domain name').transform((text, context) => {
  const below = text.startsWith('*.') ? text.slice(2) : null;
  if (below !== null && canonicalDomain(below) === below) return text;
  const result = domainName.safeParse(below ?? text);
  if (result.success) return below === null ? result.data : `*.${result.data}`;
  for (const { message } of result.error.issues) context.addIssue({ code: 'custom', message });
  return z.NEVER;
});

/** An address, written in canonical form, at a domain name with a dot. */
export const address = z.string('must be an address').transform((text, context) => {
  const parsed = parseAddress(text);
  if (!parsed?.domain.includes('.') || parsed.domain.startsWith('[')) {
    context.addIssue({ code: 'custom', message: `${JSON.stringify(text)} is not an address such as name@example.org` });
    return z.NEVER;
  }
  const canonical = canonicalAddress(parsed);
  const written = formatAddress(canonical);
  if (written === text) return canonical;
  const message = `must be written as ${written}: in lower case, its domain in ASCII (RFC 5890, A-label)`;
  context.addIssue({ code: 'custom', message });
  return z.NEVER;
});

/** Embedded IPv4 addresses ("::ffff:192.0.2.1") have a form of their own. */
export const ipAddress = z.union([z.ipv4(), z.ipv6()], 'must be an IP address');

/** A list in which nothing stands twice, as a list of type "set" of Kubernetes. */
export function uniqueList<Item extends z.ZodType>(item: Item, whatElse = 'must be a list') {
  return z.array(item, whatElse).superRefine((items, context) => {
    const seen = new Set<string>();
    for (const [i, each] of items.entries()) {
      const text = JSON.stringify(each);
      if (seen.has(text)) context.addIssue({ code: 'custom', path: [i], message: 'stands in the list twice' });
      seen.add(text);
    }
  });
}

export const quantity = z.string('must be a quantity in quotes, such as "10Gi"').transform((text, context) => {
  const bytes = parseQuantity(text);
  if (bytes !== null) return bytes;
  context.addIssue({ code: 'custom', message: `${JSON.stringify(text)} is not a quantity such as 10Gi or 500M` });
  return z.NEVER;
});

/** In seconds. */
export const duration = z.string('must be a duration such as "168h"').transform((text, context) => {
  const seconds = parseDuration(text);
  if (seconds !== null) return seconds;
  context.addIssue({ code: 'custom', message: `${JSON.stringify(text)} is not a duration such as 168h or 1h30m` });
  return z.NEVER;
});

/** RFC 1123 subdomain, as Kubernetes has it. It becomes part of file names. */
export const objectName = z
  .string('must be a name')
  .regex(
    /^(?=.{1,253}$)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/,
    'must be a name in lower-case letters, digits, "-" and "."',
  );

/** A name of a namespace (RFC 1123 label). */
export const namespaceName = z
  .string('must be a name')
  .regex(/^(?=.{1,63}$)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?$/, 'must be a name in lower-case letters, digits and "-"');

export const localReference = z.strictObject({ name: objectName });

export const deletionPolicy = z
  .enum(['Retain', 'Orphan', 'Delete'], 'must be Retain, Orphan or Delete')
  .default('Retain');

const count = z.int('must be a whole number').min(0, 'must not be negative').optional();

/** On mail to other systems; a message to ten people counts as ten. */
export const sendingLimits = { messagesPerHour: count, messagesPerDay: count, newRecipientsPerDay: count };
