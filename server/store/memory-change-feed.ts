import type { ChangeFeed, ChangeHint } from '#server/mail/ports.ts';
import type { AccountId } from '#shared/base/ids.ts';

/** Tells of changes within one process. */
export class MemoryChangeFeed implements ChangeFeed {
  readonly #listeners = new Map<AccountId, Set<(hint: ChangeHint) => void>>();

  subscribe(accountId: AccountId, heard: (hint: ChangeHint) => void): Disposable {
    const listeners = this.#listeners.get(accountId) ?? new Set();
    this.#listeners.set(accountId, listeners);
    // Two subscriptions with the same function are two.
    const listener = (hint: ChangeHint): void => heard(hint);
    listeners.add(listener);
    return {
      [Symbol.dispose]: () => {
        listeners.delete(listener);
        if (listeners.size === 0) this.#listeners.delete(accountId);
      },
    };
  }

  /** Listeners hear of it later, not inside of the change. */
  tell(hint: ChangeHint): void {
    for (const listener of this.#listeners.get(hint.accountId) ?? []) {
      setImmediate(() => {
        if (this.#listeners.get(hint.accountId)?.has(listener)) listener(hint);
      });
    }
  }
}
