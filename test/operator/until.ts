import { setTimeout as sleep } from 'node:timers/promises';

/** Asks every few milliseconds; rejects with the end of what `explain` says when it takes longer. */
export async function until(
  isSo: () => boolean | Promise<boolean>,
  withinMs: number,
  explain: () => string = () => '',
): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms ${explain().slice(-2_000)}`);
    await sleep(5);
  }
}
