/**
 * The return path of a message that we send (VERP): it says whose the message is and which one, signed so that nobody
 * can make one up, and only for some days. What comes back to it is a bounce of that message.
 *
 * Local part: "bounce+" account "-" day "-" trace "-" mark "-" recipients, in letters and digits of one case, since
 * some servers change it. `recipients` has a few characters for each recipient, so that a bounce can be held against
 * those who really got the message.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Clock } from '#shared/base/clock.ts';
import type { AccountId } from '#shared/base/ids.ts';
import type { Keyring } from '#shared/directory/keyring.ts';
import { canonicalAddress, formatAddress, parseAddress } from '#shared/text/address.ts';

/** A message that a bounce is about. */
export type SentMessage = {
  readonly accountId: AccountId;
  /** The domain of ours that sent it. */
  readonly domain: string;
  /** The id under which the log speaks of its way in. */
  readonly traceId: string;
  /** Whether this was one of its recipients; null: it had too many to tell. */
  readonly wasSentTo: (address: string) => boolean | null;
};

export interface BounceAddresses {
  /** `domain` is the part behind the "@". */
  make(sent: {
    readonly accountId: AccountId;
    readonly domain: string;
    readonly traceId: string;
    readonly recipients: readonly string[];
  }): string;
  /** Null: not one of ours, changed, or too old. */
  read(address: string): SentMessage | null;
}

/** Messages are tried for five days, and the last server may take as long again to give up. */
const validDays = 14;
const markLength = 13;
const recipientLength = 4;
/** With more, a local part would be longer than 64 bytes (RFC 5321 section 4.5.3.1.1). */
const maxRecipients = 2;

const pattern = /^bounce\+([0-9a-z]{1,13})-([0-9a-z]{1,5})-([0-9a-z]{1,18})-([a-z2-7]{13})-((?:[a-z2-7]{4}){0,2})$/;

export function createBounceAddresses(keyring: Keyring, clock: Clock): BounceAddresses {
  const today = (): number => Math.floor(clock.now().getTime() / 86_400_000);
  return {
    make({ accountId, domain, traceId, recipients }) {
      const tags =
        recipients.length > maxRecipients ? '' : recipients.map((each) => recipientTag(each, traceId)).join('');
      const known = `${BigInt(accountId).toString(36)}-${today().toString(36)}-${encodeTrace(traceId)}`;
      return `bounce+${known}-${mark(keyring, keyring.activeId, known, tags, domain)}-${tags}@${domain}`;
    },
    read(text) {
      const at = text.lastIndexOf('@');
      const domain = text.slice(at + 1).toLowerCase();
      const [, account, day, trace, given, tags] = pattern.exec(text.slice(0, at).toLowerCase()) ?? [];
      if (account === undefined || day === undefined || trace === undefined || given === undefined) return null;
      const known = `${account}-${day}-${trace}`;
      const isOurs = keyring.ids.some((id) => isSame(mark(keyring, id, known, tags ?? '', domain), given));
      const age = today() - Number.parseInt(day, 36);
      if (!isOurs || age < -1 || age > validDays) return null;
      const traceId = decodeTrace(trace);
      const found: readonly string[] = (tags ?? '').match(/.{4}/g) ?? [];
      return {
        accountId: fromBase36(account) as AccountId,
        domain,
        traceId,
        wasSentTo: (address) => (found.length === 0 ? null : found.includes(recipientTag(address, traceId))),
      };
    },
  };
}

function mark(keyring: Keyring, keyId: string, known: string, tags: string, domain: string): string {
  return base32(keyring.tag(keyId, `${known}-${tags}@${domain}`, 'bounce address')).slice(0, markLength);
}

/** Says little by itself: the mark is what nobody else can make. */
function recipientTag(address: string, traceId: string): string {
  const parsed = parseAddress(address);
  const text = parsed === null ? address.toLowerCase() : formatAddress(canonicalAddress(parsed));
  return base32(createHash('sha256').update(`${traceId} ${text}`).digest()).slice(0, recipientLength);
}

function isSame(one: string, other: string): boolean {
  return one.length === other.length && timingSafeEqual(Buffer.from(one), Buffer.from(other));
}

/** A log id (9 bytes in base64url) in letters of one case. */
function encodeTrace(traceId: string): string {
  return BigInt(`0x01${Buffer.from(traceId, 'base64url').toString('hex')}`).toString(36);
}

function decodeTrace(text: string): string {
  return Buffer.from(fromBase36(text).toString(16).padStart(2, '0').slice(1), 'hex').toString('base64url');
}

function fromBase36(text: string): bigint {
  let value = 0n;
  for (const digit of text) value = value * 36n + BigInt(Number.parseInt(digit, 36));
  return value;
}

const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';

/** RFC 4648 section 6, in small letters and without padding. */
function base32(bytes: Buffer): string {
  let text = '';
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = ((value << 8) | byte) & 0xffff;
    bits += 8;
    while (bits >= 5) {
      text += alphabet[(value >> (bits - 5)) & 31];
      bits -= 5;
    }
  }
  return text;
}
