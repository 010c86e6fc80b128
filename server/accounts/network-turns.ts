import { networkOf } from '#shared/base/ip-network.ts';
import { MailError } from '#server/mail/mail-error.ts';

/** Tasks that wait, of one network and of all. Clients behind one gateway that all come back at once are many. */
const maxWaitingOfNetwork = 500;
const maxWaiting = 20_000;

/**
 * Lets at most `most` tasks run at a time. While others wait, the networks they come from take turns, so whoever
 * guesses passwords over many connections keeps nobody waiting but itself. An IPv6 /64 network counts as one.
 */
export class NetworkTurns {
  #free: number;
  #waiting = 0;
  /** In the order of their turns. */
  readonly #queues = new Map<string, (() => void)[]>();

  constructor(most: number) {
    this.#free = most;
  }

  /** Refuses with unavailable where too many wait already. */
  async take<T>(remoteAddress: string, task: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await this.#wait(networkOf(remoteAddress));
    try {
      return await task();
    } finally {
      // The turn goes straight to who is next, so that no newcomer overtakes.
      if (!this.#wakeNext()) this.#free += 1;
    }
  }

  async #wait(network: string): Promise<void> {
    const queue = this.#queues.get(network) ?? [];
    if (queue.length >= maxWaitingOfNetwork || this.#waiting >= maxWaiting) {
      throw new MailError({ kind: 'unavailable' });
    }
    this.#queues.set(network, queue);
    this.#waiting += 1;
    await new Promise<void>((resolve) => queue.push(resolve));
  }

  #wakeNext(): boolean {
    for (const [network, queue] of this.#queues) {
      const wake = queue.shift();
      this.#queues.delete(network);
      if (queue.length > 0) this.#queues.set(network, queue);
      this.#waiting -= 1;
      wake?.();
      return true;
    }
    return false;
  }
}
