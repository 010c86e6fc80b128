/** What MAIL and RCPT may be told by the extensions that submission offers, read strictly. Pure. */
import type { DeliverBy, Notify } from '#server/mail/outbound-ports.ts';
import { SubmissionRefusal } from './submission-fault.ts';

/** Parameters as they were sent, in capitals, with the xtext of RFC 3461 section 4 decoded; true: without a value. */
export type Parameters = Readonly<Record<string, string | true>>;

export type MailOptions = {
  readonly envid: string | null;
  readonly ret: 'full' | 'headers' | null;
  readonly requiresTls: boolean;
  readonly holdUntil: Date | null;
  readonly deliverBy: DeliverBy | null;
  readonly priority: number;
};

export type RecipientOptions = { readonly notify: Notify | null; readonly orcpt: string | null };

export const noMailOptions: MailOptions = {
  envid: null,
  ret: null,
  requiresTls: false,
  holdUntil: null,
  deliverBy: null,
  priority: 0,
};

/** RFC 4865: how long a message may wait for its time, in seconds. */
const maxHoldSeconds = 30 * 24 * 3600;

export const mailOptionNames = ['RET', 'ENVID', 'REQUIRETLS', 'HOLDFOR', 'HOLDUNTIL', 'BY', 'MT-PRIORITY'] as const;
export const recipientOptionNames = ['NOTIFY', 'ORCPT'] as const;

/** RFC 3461 section 4.4 and 4.2, in characters. */
const maxEnvidLength = 100;
const maxOrcptLength = 500;

/** Lines of EHLO. `isSecure`: RFC 8689 section 2 has REQUIRETLS inside TLS alone. */
export function extensionLines(now: Date, isSecure: boolean): readonly string[] {
  const latest = new Date(now.getTime() + maxHoldSeconds * 1000).toISOString().replace(/\.\d+Z$/, 'Z');
  return [
    'DSN',
    `FUTURERELEASE ${maxHoldSeconds} ${latest}`,
    'DELIVERBY',
    'MT-PRIORITY',
    ...(isSecure ? ['REQUIRETLS'] : []),
  ];
}

/** Throws SubmissionRefusal. */
export function mailOptions(given: Parameters, now: Date, isSecure: boolean): MailOptions {
  return {
    envid: readEnvid(given),
    ret: readRet(given),
    requiresTls: readRequireTls(given, isSecure),
    holdUntil: readHold(given, now),
    deliverBy: readBy(given, now),
    priority: readPriority(given),
  };
}

/** Throws SubmissionRefusal. */
export function recipientOptions(given: Parameters): RecipientOptions {
  return { notify: readNotify(given), orcpt: readOrcpt(given) };
}

function bad(name: string): never {
  throw new SubmissionRefusal({ kind: 'bad-parameter', name });
}

/** The text of a parameter that must have one. Null: it was not given. */
function textOf(given: Parameters, name: string): string | null {
  const value = given[name];
  if (value === undefined) return null;
  return value === true || value === '' ? bad(name) : value;
}

/** RFC 3461 section 4.4. */
function readEnvid(given: Parameters): string | null {
  const text = textOf(given, 'ENVID');
  return text !== null && !new RegExp(`^[\\x20-\\x7e]{1,${maxEnvidLength}}$`).test(text) ? bad('ENVID') : text;
}

/** RFC 3461 section 4.3. */
function readRet(given: Parameters): MailOptions['ret'] {
  const text = textOf(given, 'RET')?.toUpperCase();
  if (text === undefined) return null;
  if (text === 'FULL') return 'full';
  return text === 'HDRS' ? 'headers' : bad('RET');
}

/** RFC 8689 section 2. */
function readRequireTls(given: Parameters, isSecure: boolean): boolean {
  const value = given['REQUIRETLS'];
  if (value === undefined) return false;
  return (value === true && isSecure) || bad('REQUIRETLS');
}

/** RFC 4865 section 4: one of HOLDFOR, in seconds, and HOLDUNTIL, a date-time of RFC 3339 in UTC. */
function readHold(given: Parameters, now: Date): Date | null {
  const seconds = textOf(given, 'HOLDFOR');
  const until = textOf(given, 'HOLDUNTIL');
  if (seconds !== null && until !== null) bad('HOLDUNTIL');
  if (seconds !== null && !/^[1-9]\d{0,8}$/.test(seconds)) bad('HOLDFOR');
  if (until !== null && !isUtcDateTime(until)) bad('HOLDUNTIL');
  const at = seconds !== null ? now.getTime() + Number(seconds) * 1000 : until !== null ? Date.parse(until) : null;
  if (at === null) return null;
  if (at > now.getTime() + maxHoldSeconds * 1000) {
    throw new SubmissionRefusal({ kind: 'held-too-long', maxSeconds: maxHoldSeconds });
  }
  return new Date(at);
}

function isUtcDateTime(text: string): boolean {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i.test(text)) return false;
  const at = Date.parse(text);
  if (Number.isNaN(at)) return false;
  // A day that the month doesn't have becomes one of the next month.
  return !text.toUpperCase().endsWith('Z') || new Date(at).toISOString().startsWith(text.slice(0, 19).toUpperCase());
}

/** RFC 2852 section 4: by-time ";" by-mode [by-trace]. */
function readBy(given: Parameters, now: Date): DeliverBy | null {
  const text = textOf(given, 'BY');
  if (text === null) return null;
  const [, time, mode = '', trace] = /^([+-]?\d{1,9});([NR])(T?)$/i.exec(text) ?? [];
  if (time === undefined) return bad('BY');
  const isReturned = mode.toUpperCase() === 'R';
  // With "R" the time must be ahead.
  if (isReturned && Number(time) <= 0) bad('BY');
  const at = new Date(now.getTime() + Number(time) * 1000);
  return { at, mode: isReturned ? 'return' : 'notify', isTraced: trace !== '' };
}

/** RFC 6710 section 4. */
function readPriority(given: Parameters): number {
  const text = textOf(given, 'MT-PRIORITY');
  if (text === null) return 0;
  return /^(-?[1-9]|0)$/.test(text) ? Number(text) : bad('MT-PRIORITY');
}

const notifyWords = ['success', 'failure', 'delay'] as const;

/** RFC 3461 section 4.1. */
function readNotify(given: Parameters): Notify | null {
  const text = textOf(given, 'NOTIFY')?.toLowerCase();
  if (text === undefined) return null;
  if (text === 'never') return 'never';
  const words = text.split(',');
  const known = notifyWords.filter((word) => words.includes(word));
  return known.length === words.length ? known : bad('NOTIFY');
}

/** RFC 3461 section 4.2; RFC 6533 section 3 for `utf-8`. */
function readOrcpt(given: Parameters): string | null {
  const text = textOf(given, 'ORCPT');
  if (text === null) return null;
  return text.length <= maxOrcptLength && /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+;[^\x00-\x1f\x7f]+$/.test(text)
    ? text
    : bad('ORCPT');
}
