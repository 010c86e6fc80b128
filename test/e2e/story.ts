/** What the run prints: chapters and steps in plain words, each with the time it took. */
import { setTimeout as sleep } from 'node:timers/promises';

export class Story {
  readonly #startedAt = Date.now();
  #steps = 0;

  get steps(): number {
    return this.#steps;
  }

  get seconds(): number {
    return (Date.now() - this.#startedAt) / 1000;
  }

  chapter(title: string): void {
    this.#print(`\n== ${title}`);
  }

  note(text: string): void {
    for (const line of text.trimEnd().split('\n')) this.#print(`   ${line}`);
  }

  /** `title` says what holds once it is done. Errors carry it. */
  async step<T>(title: string, work: () => Promise<T>): Promise<T> {
    const startedAt = Date.now();
    try {
      const result = await work();
      this.#steps += 1;
      this.#print(
        `${clock(startedAt - this.#startedAt)} ok  ${title} (${((Date.now() - startedAt) / 1000).toFixed(1)} s)`,
      );
      return result;
    } catch (cause) {
      this.#print(`${clock(startedAt - this.#startedAt)} NOT ${title}`);
      throw new Error(`failed: ${title}`, { cause });
    }
  }

  #print(line: string): void {
    process.stdout.write(`${line}\n`);
  }
}

function clock(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  return `${String(Math.floor(seconds / 60)).padStart(2)}:${String(seconds % 60).padStart(2, '0')}`;
}

/**
 * Does `look` until it neither throws nor says false or null; resolves with what it said. Then, after `withinSeconds`,
 * the last error, or that it did not come about.
 */
export async function eventually<T>(
  what: string,
  withinSeconds: number,
  look: () => Promise<T | false | null | undefined>,
): Promise<T> {
  const end = Date.now() + withinSeconds * 1000;
  let cause: unknown;
  for (let everyMs = 100; Date.now() < end; everyMs = Math.min(everyMs * 1.5, 1000)) {
    try {
      const seen = await look();
      cause = undefined;
      if (seen !== false && seen !== null && seen !== undefined) return seen;
    } catch (error) {
      cause = error;
    }
    await sleep(everyMs);
  }
  throw new Error(`not within ${withinSeconds} s: ${what}`, { cause });
}

/** The same, for something that must be fast: resolves with how many seconds it took. */
export async function secondsUntil(what: string, withinSeconds: number, look: () => Promise<boolean>): Promise<number> {
  const startedAt = Date.now();
  await eventually(what, withinSeconds, look);
  return (Date.now() - startedAt) / 1000;
}
