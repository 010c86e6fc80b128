/**
 * Whether a row is as its resource wants it. The hash covers the whole spec; columns are compared too, for what the
 * spec's hash doesn't cover (a domain's defaults) and for rows that were changed by hand.
 */
import type { ObservedAccount, ObservedAlias, ObservedDomain, ObservedRow } from './observed.ts';
import { addressKey } from './wanted.ts';
import type { SendingLimits, Wanted, WantedAccount, WantedAlias, WantedDomain } from './wanted.ts';

export function sameDomain(wanted: WantedDomain, row: ObservedDomain): boolean {
  return (
    follows(wanted, row) &&
    wanted.subaddressDelimiter === row.subaddressDelimiter &&
    wanted.suspended === row.suspended &&
    sameLimits(wanted.limits, row.limits) &&
    wanted.maxMessageBytes === row.maxMessageBytes &&
    wanted.requiresInboundTls === row.requiresInboundTls &&
    wanted.dkim.rotationSeconds === row.dkim.rotationSeconds &&
    wanted.dkim.overlapSeconds === row.dkim.overlapSeconds &&
    wanted.dkim.algorithms.join() === row.dkim.algorithms?.join() &&
    (wanted.catchAll === row.catchAll ||
      (wanted.catchAll !== null && row.catchAll !== null && addressKey(wanted.catchAll) === addressKey(row.catchAll)))
  );
}

export function sameAccount(wanted: WantedAccount, row: ObservedAccount): boolean {
  return (
    follows(wanted, row) &&
    wanted.quotaBytes === row.quotaBytes &&
    wanted.suspended === row.suspended &&
    wanted.displayName === row.displayName &&
    wanted.graceSeconds === row.graceSeconds &&
    wanted.savesSent === row.savesSent &&
    wanted.limits.recipientsPerMessage === row.limits.recipientsPerMessage &&
    sameLimits(wanted.limits, row.limits)
  );
}

export function sameAlias(wanted: WantedAlias, row: ObservedAlias): boolean {
  if (!follows(wanted, row) || wanted.sendAs !== row.sendAs) return false;
  const had = new Set(row.members.map(addressKey));
  return wanted.members.length === had.size && wanted.members.every((member) => had.has(addressKey(member)));
}

function follows(wanted: Wanted, row: ObservedRow): boolean {
  return (
    row.managedBy === 'reconciler' &&
    row.resourceUid === wanted.uid &&
    row.resourceName === wanted.resourceName &&
    row.deletionPolicy === wanted.deletionPolicy &&
    !row.isRetained &&
    row.specHash === wanted.specHash
  );
}

function sameLimits(a: SendingLimits, b: SendingLimits): boolean {
  return (
    a.messagesPerHour === b.messagesPerHour &&
    a.messagesPerDay === b.messagesPerDay &&
    a.newRecipientsPerDay === b.newRecipientsPerDay
  );
}
