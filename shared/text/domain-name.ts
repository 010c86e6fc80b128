import { domainToASCII } from 'node:url';

/** RFC 1035 section 2.3.4, as text without the final dot. */
const maxDomainBytes = 253;
const label = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const ascii = /^[\x00-\x7f]*$/;
/** What a name may hold before it is mapped: node's converter would read anything else as parts of a URL. */
const beforeMapping = /^[a-z0-9.\-\u0080-\u{10ffff}]+$/iu;

/**
 * The one form in which domain names are compared and stored: lower case, U-labels as A-labels (RFC 5890
 * section 2.3.2.1, mapped as UTS 46 says), no final dot. Null: not a domain name of RFC 5321 section 4.1.2. A
 * name whose last label is a number is refused, since it would be taken for an IP address (RFC 3696 section 2).
 */
export function canonicalDomain(text: string): string | null {
  // A U-label is never longer in characters than its A-label; the bound keeps the mapping cheap.
  if (text.length > maxDomainBytes || !beforeMapping.test(text)) return null;
  const name = ascii.test(text) ? text.toLowerCase() : domainToASCII(text);
  if (name.length === 0 || name.length > maxDomainBytes) return null;
  const labels = name.split('.');
  if (!labels.every((each) => label.test(each))) return null;
  return /^[0-9]+$/.test(labels.at(-1) ?? '') ? null : name;
}
