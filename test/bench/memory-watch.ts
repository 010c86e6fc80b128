/** How a server's memory changes while it works. */
import type { Postrider } from './servers/postrider.ts';
import { residentMiB } from './proc.ts';

const lookEveryMs = 1000;
/** Of the time, at the beginning: caches fill. */
const warmUpShare = 0.2;
/** What is looked at is the least of each: between two collections a heap only grows. */
const windows = 20;

type Look = { readonly minutes: number; readonly resident: number; readonly heap: number };

export class MemoryWatch {
  readonly #server: Postrider;
  readonly #looks: Look[] = [];
  readonly #startedAt = performance.now();
  readonly #timer: NodeJS.Timeout;
  #looking: Promise<void> = Promise.resolve();

  constructor(server: Postrider) {
    this.#server = server;
    this.#timer = setInterval(() => {
      this.#looking = this.#look();
    }, lookEveryMs);
  }

  /** MiB a minute of resident memory and of the heap in use, warm-up not counted. */
  async stop(): Promise<{ readonly resident: number; readonly heap: number }> {
    clearInterval(this.#timer);
    await this.#looking;
    return {
      resident: growth(this.#looks.map(({ minutes, resident }) => [minutes, resident])),
      heap: growth(this.#looks.map(({ minutes, heap }) => [minutes, heap])),
    };
  }

  async #look(): Promise<void> {
    const minutes = (performance.now() - this.#startedAt) / 60_000;
    const [root = 0] = this.#server.roots();
    const resident = residentMiB(root).now;
    // A server that has no answer now is asked again in a second.
    const heap = await this.#server.heapBytes().catch(() => null);
    if (heap !== null) this.#looks.push({ minutes, resident, heap: heap / 1024 / 1024 });
  }
}

/** The slope of a line through the least value of each window, in values a minute. */
export function growth(looks: readonly (readonly [minutes: number, value: number])[]): number {
  const counted = looks.slice(Math.floor(looks.length * warmUpShare));
  const size = Math.max(1, Math.floor(counted.length / windows));
  const least = Array.from({ length: Math.floor(counted.length / size) }, (_, n) =>
    counted.slice(n * size, (n + 1) * size).reduce((a, b) => (b[1] < a[1] ? b : a)),
  );
  const mean = (at: 0 | 1): number => least.reduce((sum, look) => sum + look[at], 0) / least.length;
  const [meanTime, meanValue] = [mean(0), mean(1)];
  const above = least.reduce((sum, [time, value]) => sum + (time - meanTime) * (value - meanValue), 0);
  const below = least.reduce((sum, [time]) => sum + (time - meanTime) ** 2, 0);
  return below === 0 ? 0 : above / below;
}
