import { createHmac, randomBytes } from 'node:crypto';
import type { Clock } from '#shared/base/clock.ts';
import type { AccountId } from '#shared/base/ids.ts';
import type { LoginCredential } from '#shared/directory/logins.ts';

/** A verification is believed for so long. The account and its credentials are read afresh at each login anyway. */
const believedMs = 5 * 60_000;
const maxEntries = 20_000;

/**
 * Which passwords were found right a short while ago, so that a client that connects every few seconds doesn't
 * cost a hash each time. A password is kept only under a key that dies with the process, together with the
 * credential's version: a changed password is another key.
 */
export class VerifiedLogins {
  readonly #secret = randomBytes(32);
  /** In the order of their end. */
  readonly #ends = new Map<string, number>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Names this password of this credential (null: of a name that has none); says nothing to anybody else. */
  key(accountId: AccountId | null, { id, version }: Pick<LoginCredential, 'id' | 'version'>, prepared: string): string {
    return createHmac('sha256', this.#secret).update(`${accountId}\0${id}\0${version}\0${prepared}`).digest('base64');
  }

  has(key: string): boolean {
    const end = this.#ends.get(key);
    if (end !== undefined && end > this.#clock.monotonicMs()) return true;
    this.#ends.delete(key);
    return false;
  }

  add(key: string): void {
    const now = this.#clock.monotonicMs();
    this.#ends.delete(key);
    this.#ends.set(key, now + believedMs);
    for (const [oldest, end] of this.#ends) {
      if (end > now && this.#ends.size <= maxEntries) break;
      this.#ends.delete(oldest);
    }
  }
}
