/** When an authority is asked again, and what a failure is called. Pure. */
import { AcmeProblem, AcmeUnreachable } from '#operator/acme/acme-problem.ts';
import type { AcmeOrderProblem } from '#shared/db/acme-tables.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;

/** Between looks at an order, by how long it has been under way: a challenge takes seconds, or something is slow. */
export function pollMs(ageMs: number): number {
  if (ageMs < 30_000) return 1_000;
  return ageMs < 5 * minuteMs ? 5_000 : minuteMs;
}

/**
 * A lifetime's last third is there for failures. `wanted`: what the authority says (RFC 9773), null where it says nothing. It
 * does not make a new certificate old within a day, nor is one kept to its very end.
 */
export function renewalTime({ from, to }: { readonly from: Date; readonly to: Date }, wanted: Date | null): Date {
  const [begin, end] = [from.getTime(), to.getTime()];
  if (wanted === null) return new Date(begin + ((end - begin) * 2) / 3);
  const latest = begin + (end - begin) * 0.95;
  return new Date(Math.min(latest, Math.max(wanted.getTime(), begin + dayMs)));
}

/** The same for the same certificate after a restart, and another one for each (RFC 9773 section 4.2). */
export function momentWithin({ start, end }: { readonly start: Date; readonly end: Date }, serial: string): Date {
  const fraction = Number.parseInt(serial.slice(-8), 16) / 0xffff_ffff;
  return new Date(start.getTime() + (end.getTime() - start.getTime()) * (Number.isNaN(fraction) ? 0 : fraction));
}

export type AcmeFailure = {
  readonly problem: AcmeOrderProblem;
  /** The order is over; the next attempt begins another. */
  readonly isOver: boolean;
  readonly waitMs: number;
};

/** Waits double with each failure in a row: an authority allows few failed challenges an hour. */
const waits = {
  ACMEUnreachable: { first: 15_000, most: hourMs },
  ACMERateLimited: { first: hourMs, most: dayMs },
  ACMEAccountRefused: { first: 5 * minuteMs, most: 12 * hourMs },
  ACMEChallengeFailed: { first: 5 * minuteMs, most: 12 * hourMs },
  ACMEOrderRefused: { first: 5 * minuteMs, most: 12 * hourMs },
} as const;

type Reason = keyof typeof waits;

/** Null: it is a fault of ours. `before`: attempts that failed in a row before this one. */
export function judgeFailure(error: unknown, before: number): AcmeFailure | null {
  if (error instanceof AcmeUnreachable) {
    const problem = { reason: 'ACMEUnreachable', message: `no answer: ${error.message}`, isLimit: false };
    return { problem, isOver: false, waitMs: wait('ACMEUnreachable', before, null) };
  }
  if (!(error instanceof AcmeProblem)) return null;
  // Theirs to mend: what was begun may still be finished.
  const isTheirs = error.type === 'serverInternal';
  const reason = isTheirs ? 'ACMEUnreachable' : reasonOf(error);
  // Having asked too often is no verdict on the order; what the order itself tells of is one.
  const isOver = !isTheirs && (reason !== 'ACMERateLimited' || error.status === 0);
  const advice = adviceOf(error, reason);
  return {
    problem: {
      reason,
      message: `${error.message}${advice === null ? '' : ` (${advice})`}`,
      isLimit: reason === 'ACMERateLimited',
    },
    isOver,
    waitMs: wait(reason, before, error.retryAfterMs),
  };
}

function reasonOf({ type, step }: AcmeProblem): Reason {
  if (type === 'rateLimited') return 'ACMERateLimited';
  if (step === 'account') return 'ACMEAccountRefused';
  return step === 'challenge' ? 'ACMEChallengeFailed' : 'ACMEOrderRefused';
}

function wait(reason: Reason, before: number, retryAfterMs: number | null): number {
  const { first, most } = waits[reason];
  return Math.max(retryAfterMs ?? 0, Math.min(most, first * 2 ** Math.min(before, 20)));
}

const reach = 'http on port 80 of the name has to lead to the servers, from anywhere';
const advices: Readonly<Record<string, string>> = {
  connection: reach,
  unauthorized: reach,
  incorrectResponse: reach,
  dns: 'the name needs address records that lead to the servers',
  caa: 'CAA records of the domain have to name the authority',
  rejectedIdentifier: 'this authority does not sign for the name; choose another name or authority',
  externalAccountRequired: 'give MailServer.spec.acme.externalAccountBinding',
  unsupportedContact: 'correct MailServer.spec.acme.contacts',
  invalidContact: 'correct MailServer.spec.acme.contacts',
  accountDoesNotExist: 'an account is made anew',
};

function adviceOf({ type, step, instance }: AcmeProblem, reason: Reason): string | null {
  if (type === 'userActionRequired' && instance !== null) return `see ${instance}`;
  if (reason === 'ACMERateLimited') return 'it is left alone until then';
  if (step === 'account' && type === 'unauthorized') {
    return 'delete the Secret with the account’s key, and another account is made';
  }
  const advice = advices[type] ?? null;
  return advice === reach && step !== 'challenge' ? null : advice;
}
