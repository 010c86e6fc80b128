/**
 * What a process has read of the database last, for a while: whether it still is so, the database says. It goes with the
 * connections by which it was read.
 */
type Place<T> = {
  readonly known: T | null;
  /** Whether the server that `known` was read from is still the one that is asked. */
  readonly isCurrent: () => boolean;
  /** Instead of what was known; null: nothing. */
  readonly keep: (value: T | null) => void;
};

export type RememberedOptions<T> = {
  /** Of the database's connections. Whoever answers the next may never have had what those before have read. */
  readonly generation: () => number;
  /** What is used longest ago goes first. */
  readonly maxBytes: number;
  /** Roughly; the same for the same value. */
  readonly bytesOf: (value: T) => number;
};

export class Remembered<T> {
  readonly #values = new Map<string, T>();
  readonly #options: RememberedOptions<T>;
  #readIn: number;
  #bytes = 0;

  constructor(options: RememberedOptions<T>) {
    this.#options = options;
    this.#readIn = options.generation();
  }

  of(key: string): Place<T> {
    this.#dropLost();
    const asked = this.#readIn;
    const isCurrent = (): boolean => asked === this.#options.generation();
    return {
      known: this.#values.get(key) ?? null,
      isCurrent,
      keep: (value) => {
        this.#dropLost();
        this.#remove(key);
        if (value !== null && isCurrent()) this.#add(key, value);
      },
    };
  }

  #add(key: string, value: T): void {
    const { bytesOf, maxBytes } = this.#options;
    this.#values.set(key, value);
    this.#bytes += bytesOf(value);
    for (const oldest of this.#values.keys()) {
      if (this.#bytes <= maxBytes) break;
      this.#remove(oldest);
    }
  }

  #remove(key: string): void {
    const value = this.#values.get(key);
    if (value === undefined) return;
    this.#bytes -= this.#options.bytesOf(value);
    this.#values.delete(key);
  }

  #dropLost(): void {
    const generation = this.#options.generation();
    if (generation === this.#readIn) return;
    this.#readIn = generation;
    this.#values.clear();
    this.#bytes = 0;
  }
}
