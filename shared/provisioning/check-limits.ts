/** Limits that concern a domain's mailboxes together. Pure. */
import { resourceFault } from './fault.ts';
import type { FaultReason, ResourceFault } from './fault.ts';
import type { MailDomainResource } from './resource.ts';
import type { WantedAccount } from './wanted.ts';

/** In a folder it is the domain's fault: somebody wrote both. */
export function checkDomainLimits(
  domains: readonly MailDomainResource[],
  accounts: readonly WantedAccount[],
): readonly ResourceFault[] {
  return domains.flatMap((resource) => {
    const { domain, limits } = resource.spec;
    const { maxMailboxes, totalQuota } = limits;
    const own = accounts.filter((account) => account.domain === domain);
    const faults: ResourceFault[] = [];
    const fault = (limit: string, reason: FaultReason, message: string): void => {
      faults.push(resourceFault(resource, resource.at(['spec', 'limits', limit]), reason, message));
    };
    if (maxMailboxes !== undefined && own.length > maxMailboxes) {
      const message = `${domain} has ${own.length} mailboxes, more than its limit of ${maxMailboxes}`;
      fault('maxMailboxes', 'MailboxLimitReached', message);
    }
    if (totalQuota === undefined) return faults;
    faults.push(...own.filter(({ quotaBytes }) => quotaBytes === null).map((account) => needsQuota(account)));
    const sum = own.reduce((total, { quotaBytes }) => total + (quotaBytes ?? 0n), 0n);
    if (sum > totalQuota) {
      const message = `the quotas of ${domain} add up to ${sum} bytes, more than its totalQuota of ${totalQuota}`;
      fault('totalQuota', 'QuotaLimitReached', message);
    }
    return faults;
  });
}

type Room = { mailboxes: number; bytes: bigint };

/** In a cluster the older mailboxes have the room, in the order of `accounts`: who comes too late hears of it. */
export function checkEachMailboxLimits(
  domains: readonly MailDomainResource[],
  accounts: readonly WantedAccount[],
): readonly ResourceFault[] {
  const limits = new Map(domains.map(({ spec }) => [spec.domain, spec.limits]));
  const used = new Map<string, Room>();
  return accounts.flatMap((account) => {
    const { maxMailboxes, totalQuota } = limits.get(account.domain) ?? {};
    if (maxMailboxes === undefined && totalQuota === undefined) return [];
    const room = used.get(account.domain) ?? { mailboxes: 0, bytes: 0n };
    used.set(account.domain, room);
    if (maxMailboxes !== undefined && room.mailboxes >= maxMailboxes) {
      const message = `${account.domain} has its limit of ${maxMailboxes} mailboxes already`;
      return [faultOf(account, 'MailboxLimitReached', message)];
    }
    if (totalQuota !== undefined) {
      if (account.quotaBytes === null) return [needsQuota(account)];
      const sum = room.bytes + account.quotaBytes;
      if (sum > totalQuota) {
        const message = `with it the quotas of ${account.domain} would add up to ${sum} bytes, more than its totalQuota of ${totalQuota}`;
        return [faultOf(account, 'QuotaLimitReached', message)];
      }
      room.bytes = sum;
    }
    room.mailboxes += 1;
    return [];
  });
}

function needsQuota(account: WantedAccount): ResourceFault {
  return faultOf(account, 'QuotaLimitReached', `${account.label} needs a quota: ${account.domain} has a totalQuota`);
}

function faultOf(account: WantedAccount, reason: FaultReason, message: string): ResourceFault {
  return resourceFault(account.ref, account.at(['spec', 'address']), reason, message);
}
