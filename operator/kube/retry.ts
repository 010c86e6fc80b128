/** When a request is sent again, and how long it waits before. */
import { isUndeclaredField, KubeError } from './kube-error.ts';

/** `always`: doing it twice is as good as once. `unprocessed`: only when the server says that it did nothing. */
export type RetrySafety = 'always' | 'unprocessed';

const maxAttempts = 6;
const firstWaitMs = 100;
const longestWaitMs = 5_000;
/** A server that asks for more patience than this gets an error handed on to the caller, who has a queue. */
const longestRetryAfterMs = 30_000;

/**
 * Retries are a tenth of the requests in the long run: when everything fails, trying everything again would only add
 * load to what is down. What a 429 or 503 asks to be sent again is not counted.
 */
export class RetryBudget {
  #tokens = 50;

  earn(): void {
    this.#tokens = Math.min(50, this.#tokens + 0.1);
  }

  spend(): boolean {
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}

/**
 * Milliseconds to wait before attempt `attempt + 1`, or null when the error is final. `random` is in [0, 1).
 */
export function retryAfter(
  error: unknown,
  attempt: number,
  safety: RetrySafety,
  budget: RetryBudget,
  random: () => number = Math.random,
): number | null {
  const isFinal: boolean = isUndeclaredField(error);
  if (!(error instanceof KubeError) || attempt >= maxAttempts || isFinal) return null;
  const { status, retryAfterSeconds } = error;
  const jittered = Math.min(longestWaitMs, firstWaitMs * 2 ** (attempt - 1)) * (0.5 + random() / 2);
  if (status === 429 || (status === 503 && retryAfterSeconds !== null)) {
    const waitMs = Math.max(jittered, (retryAfterSeconds ?? 0) * 1000);
    return waitMs > longestRetryAfterMs ? null : waitMs;
  }
  const mayHaveHappened = !(status === 0 && error.reason === 'ConnectionRefused');
  if (mayHaveHappened && safety === 'unprocessed') return null;
  if (status !== 0 && status < 500) return null;
  return budget.spend() ? jittered : null;
}
