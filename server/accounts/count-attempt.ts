import type { Metrics } from '#shared/observe/metrics.ts';
import type { LoginOutcome } from './authenticator.ts';

/** Decides, and counts what came of it; a failure to decide counts as unavailable and is thrown on. */
export async function countAttempt(
  { authAttempts }: Pick<Metrics, 'authAttempts'>,
  { protocol, mechanism }: { readonly protocol: string; readonly mechanism: string },
  decide: () => Promise<LoginOutcome>,
): Promise<LoginOutcome> {
  const count = (outcome: string): void => authAttempts.inc({ protocol, mechanism, outcome });
  try {
    const outcome = await decide();
    count(outcome.ok ? 'ok' : outcome.reason);
    return outcome;
  } catch (error) {
    count('unavailable');
    throw error;
  }
}
