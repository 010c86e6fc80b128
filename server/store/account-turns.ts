import type { AccountId } from '#shared/base/ids.ts';
import { MailError } from '#server/mail/mail-error.ts';

/** Longer than any change should take, several times over. */
const maxWaitMs = 60_000;

/**
 * Lets the changes of one account follow each other inside this process. Its lock in the database would do so too, but
 * who waits there holds a connection, and the sessions of one account could hold them all.
 */
export class AccountTurns {
  readonly #last = new Map<AccountId, Promise<void>>();

  /** MailError unavailable: it waited for a minute. */
  async take<T>(accountId: AccountId, change: () => Promise<T>): Promise<T> {
    const since = performance.now();
    const before = this.#last.get(accountId);
    const turn = Promise.withResolvers<void>();
    this.#last.set(accountId, turn.promise);
    try {
      await before;
      if (performance.now() - since > maxWaitMs) throw new MailError({ kind: 'unavailable' });
      return await change();
    } finally {
      turn.resolve();
      if (this.#last.get(accountId) === turn.promise) this.#last.delete(accountId);
    }
  }
}
