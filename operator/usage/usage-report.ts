/**
 * What the status of a Mailbox says of how full it is. Pure. Mail comes and goes all the time, and a status is not the
 * place to follow it: it is told roughly, and told anew when it is noticeably different.
 */
import { formatQuantity, parseQuantity } from '#shared/provisioning/quantity.ts';
import type { MailboxStatus } from '#operator/api/mailbox.ts';
import { findCondition, type ConditionReport, type PartReport } from '#operator/status/condition.ts';

export type Usage = {
  readonly usedBytes: bigint;
  readonly messages: number;
  /** Null: no bound. */
  readonly quotaBytes: bigint | null;
};

export type UsageSubject = {
  readonly usage: Usage;
  readonly status: MailboxStatus | undefined;
  readonly generation: number;
  readonly now: Date;
};

/** A mailbox is told of so seldom at least, unless it becomes full. */
const restMs = 10 * 60_000;
/** Percent of the quota. It is near until it is clearly not. */
const nearPercent = 90n;
const clearPercent = 85n;
/** Parts of a quota, or of what was told before, by which usage must differ to be told. */
const partOfQuota = 20n;
const partOfUsage = 10n;

/** Null: what the status says will do. */
export function usageReport({ usage, status, generation, now }: UsageSubject): PartReport | null {
  const told = status?.usage;
  const before = findCondition(status, 'WithinQuota');
  const condition = quotaCondition(usage, before?.reason);
  const isSame =
    condition === null
      ? before === undefined
      : before?.reason === condition.reason && before.observedGeneration === generation;
  if (isSame && !isNoticeable(usage, told, now)) return null;
  const isEmpty = usage.messages === 0 && usage.usedBytes === 0n;
  return {
    generation,
    conditions: condition === null ? [] : [condition],
    without: condition === null ? ['WithinQuota'] : [],
    fields: {
      usage: isEmpty
        ? undefined
        : {
            bytes: formatQuantity(roughly(usage.usedBytes)),
            messages: usage.messages,
            observedAt: `${now.toISOString().slice(0, 19)}Z`,
          },
    },
  };
}

/** Null: there is nothing to say; with no quota, or far from it and never near it before. */
function quotaCondition({ usedBytes, quotaBytes }: Usage, before: string | undefined): ConditionReport | null {
  if (quotaBytes === null) return null;
  const type = 'WithinQuota';
  const of = `of ${formatQuantity(quotaBytes)}`;
  if (usedBytes >= quotaBytes) {
    return { type, status: 'False', reason: 'OverQuota', message: `all ${of} is used; new mail is refused for now` };
  }
  const wasNear = before === 'NearQuota' || before === 'OverQuota';
  if (usedBytes * 100n >= quotaBytes * (wasNear ? clearPercent : nearPercent)) {
    return { type, status: 'True', reason: 'NearQuota', message: `most ${of} is used` };
  }
  return before === undefined ? null : { type, status: 'True', reason: 'WithinQuota', message: '' };
}

function isNoticeable({ usedBytes, messages, quotaBytes }: Usage, told: MailboxStatus['usage'], now: Date): boolean {
  if (told === undefined) return messages > 0;
  if (now.getTime() - Date.parse(told.observedAt ?? '') < restMs) return false;
  const before = parseQuantity(told.bytes ?? '') ?? 0n;
  if (formatQuantity(roughly(usedBytes)) === told.bytes) return false;
  const difference = usedBytes > before ? usedBytes - before : before - usedBytes;
  const isMuchOfQuota = quotaBytes !== null && difference * partOfQuota >= quotaBytes;
  return messages === 0 || isMuchOfQuota || difference * partOfUsage >= before;
}

/** 12Gi, 370Gi, 1408Mi. */
function roughly(bytes: bigint): bigint {
  let unit = 1n;
  while (bytes >= unit * 1024n) unit *= 1024n;
  if (unit === 1n) return bytes;
  const step = bytes >= unit * 100n ? unit * 10n : bytes >= unit * 10n ? unit : unit / 16n;
  return ((bytes + step / 2n) / step) * step;
}
